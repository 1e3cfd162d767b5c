#pragma once

#include <stddef.h>

/** The page behind `/`: one file, no network but this daemon. */
extern const unsigned char sl_dashboard_html[];
extern const size_t sl_dashboard_html_bytes;
