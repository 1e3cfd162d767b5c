/** @file s3_xml.h
 * The XML of S3's replies, read strictly: elements, attributes (ignored), text, the five
 * entities and character references. No document types, no CDATA, no processing
 * instructions: S3 sends none, and what we don't read can't surprise us. Comments are
 * skipped.
 *
 * Limits   16 elements deep; anything else is as large as the reply.
 * Threads  A pure function.
 * Source   Extensible Markup Language 1.0 (fifth edition), productions 1 to 44, 66 to 68.
 */
#pragma once

#include "sluice/buffer.h"

/** An element that has just ended. Everything is borrowed for the call. */
typedef struct sl_s3_element {
    unsigned depth;   /**< The root has 1. */
    const char *name; /**< Without a prefix; not 0-terminated. */
    size_t name_length;
    const char
        *parent; /**< As `name`; of the element around it, length 0 for the root. */
    size_t parent_length;
    bool leaf;        /**< No element within. */
    const char *text; /**< Of a leaf, decoded, 0-terminated; else "". */
    size_t text_length;
} sl_s3_element;

/** @return Anything but SL_OK ends the scan with that status. */
typedef sl_status sl_s3_element_fn(void *context, const sl_s3_element *element);

/**
 * Call `each` at the end of every element, in document order.
 * White space before and after the document is allowed: CompleteMultipartUpload keeps its
 * connection alive so.
 * @return SL_OK; SL_ESYNTAX; SL_ELIMIT: too deep; SL_ENOMEM; what `each` returned.
 */
SL_CHECKED sl_status sl_s3_xml_scan(const char *xml, size_t length,
                                    sl_s3_element_fn *each, void *context,
                                    sl_error *error);
bool sl_s3_element_is(const sl_s3_element *element, const char *name);
bool sl_s3_element_within(const sl_s3_element *element, const char *parent);
