/* GStreamer: the child waits at the bus of a pipeline whose threads it has not. */
#include <gst/gst.h>

#include "kinds.h"

static GstBus* bus;

static void wait_for_end(void) {
  gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
}

int main(void) {
  gst_init(NULL, NULL);
  prepare();
  GstElement* pipeline = gst_parse_launch("fakesrc num-buffers=-1 sizetype=fixed sizemax=64 datarate=640 "
                                          "! fakesink sync=true", NULL);
  if (!pipeline) give_up("there is no fakesrc");
  bus = gst_element_get_bus(pipeline);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  gst_element_get_state(pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  return fork_and(wait_for_end);
}
