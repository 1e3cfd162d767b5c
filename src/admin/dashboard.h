#pragma once

extern const char sl_dashboard_html[]; /**< The page behind `/`: one file, no network but this daemon. */
