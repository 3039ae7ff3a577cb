/* Tokens in a C program: prints the first four of each latent frame of a video.
 *
 *     cc -Wall -o embed examples/embed.c $(pkg-config --cflags --libs gstreamer-1.0 gstreamer-app-1.0)
 *     GST_PLUGIN_PATH=.local/lib/gstreamer-1.0 ./embed examples/signing.mp4
 */
#include <gst/app/app.h>

static GstFlowReturn latent_frame (GstAppSink *sink) {
  g_autoptr (GstSample) sample = gst_app_sink_pull_sample (sink);
  GstMapInfo map; /* The buffer's own memory: no copy. GStreamer aligns it for any number. */
  if (!gst_buffer_map (gst_sample_get_buffer (sample), &map, GST_MAP_READ))
    return GST_FLOW_ERROR;
  const guint16 *token = (const guint16 *) map.data; /* The built-in tokenizer's `token-type` is uint16. */
  int count = map.size / sizeof *token; /* The caps have `grid-height` and `grid-width`. */
  g_print ("%d tokens:", count);
  for (int i = 0; i < 4 && i < count; i++)
    g_print (" %u", GUINT16_FROM_LE (token[i]));
  g_print (" ...\n");
  gst_buffer_unmap (gst_sample_get_buffer (sample), &map);
  return GST_FLOW_OK;
}

int main (int argc, char **argv) {
  gst_init (&argc, &argv);
  g_autoptr (GError) error = NULL;
  /* Without the caps, tokens come as packets of the byte stream, as files have them. */
  g_autoptr (GstElement) pipeline = gst_parse_launch ("filesrc name=file ! decodebin ! vidtokenc"
      " ! video/x-vidtok,stream-format=raw ! appsink name=tokens sync=false emit-signals=true", &error);
  if (error || argc != 2) {
    g_printerr ("usage: embed VIDEO, with the plugin's folder in GST_PLUGIN_PATH (%s)\n", error ? error->message : "");
    return 2;
  }
  g_autoptr (GstElement) file = gst_bin_get_by_name (GST_BIN (pipeline), "file");
  g_autoptr (GstElement) tokens = gst_bin_get_by_name (GST_BIN (pipeline), "tokens");
  g_object_set (file, "location", argv[1], NULL);
  g_signal_connect (tokens, "new-sample", G_CALLBACK (latent_frame), NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstMessage) end =
      gst_bus_timed_pop_filtered (GST_ELEMENT_BUS (pipeline), GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  if (GST_MESSAGE_TYPE (end) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (end, &error, NULL); /* In words that are for users. */
    g_printerr ("embed: %s: %s\n", argv[1], error->message);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return error != NULL;
}
