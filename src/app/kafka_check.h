/** @file kafka_check.h
 * What `sluice validate` asks of Kafka: whether brokers answer, let the user in, and have the topics.
 *
 * Threads  One that may block.
 */
#pragma once

#include "sluice/config.h"

/**
 * Some seconds for each source at most, however its brokers behave.
 * @param file  Of the configuration, for messages; NULL: it isn't one.
 * @param warn  Told of what is known not to work.
 * @param[out] problems A line for each: "FILE:LINE: source NAME: …", with the mend.
 * @return whether there are none.
 */
bool sl_kafka_check(const sl_config *config, const char *file, sl_config_warn_fn *warn, void *context, sl_buffer *problems);
