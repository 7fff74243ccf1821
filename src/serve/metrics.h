/* metrics.h - /metrics in the Prometheus text format.  Private to serve. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include "serve/serve.h"

/* Every worker's numbers, read without stopping anyone. */
void metrics_write(struct serve *s, struct buf *out);

/* A JSON object with the sums of the same numbers at this moment. */
void metrics_add_json(struct serve *s, struct buf *out);

#endif
