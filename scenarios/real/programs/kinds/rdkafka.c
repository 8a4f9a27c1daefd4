/* librdkafka: a producer flushes in the child what only the parent's threads would send. */
#include <librdkafka/rdkafka.h>

#include "kinds.h"

static rd_kafka_t* producer;
static rd_kafka_topic_t* topic;

static void produce_and_flush(void) {
  rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, "row", 3, NULL, 0, NULL);
  rd_kafka_flush(producer, 3600000);
}

int main(void) {
  char why[256];
  prepare();
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", "127.0.0.1:9", why, sizeof why);
  rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!producer) give_up(why);
  topic = rd_kafka_topic_new(producer, "rows", NULL);
  return fork_and(produce_and_flush);
}
