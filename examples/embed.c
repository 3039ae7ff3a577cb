/* Tokens in a C program: prints shape and first numbers of each latent frame of a video.
 *
 *     cc -Wall -o embed examples/embed.c $(pkg-config --cflags --libs gstreamer-1.0 gstreamer-app-1.0)
 *     GST_PLUGIN_PATH=.local/lib/gstreamer-1.0 ./embed examples/signing.mp4
 */
#include <gst/app/app.h>
#include <gst/gst.h>

int main (int argc, char **argv) {
  gst_init (&argc, &argv);
  if (argc != 2) {
    g_printerr ("usage: embed VIDEO\n");
    return 2;
  }
  GError *error = NULL;
  /* Without the caps, tokens come as packets of the byte stream, as files have them. */
  GstElement *pipeline = gst_parse_launch ("filesrc name=file ! decodebin ! vidtokenc"
      " ! video/x-vidtok,stream-format=raw ! appsink name=tokens sync=false", &error);
  if (error) { /* Also with a pipeline: one that lacks something. */
    g_printerr ("embed: %s: is the plugin's folder in GST_PLUGIN_PATH?\n", error->message);
    return 1;
  }
  GstElement *file = gst_bin_get_by_name (GST_BIN (pipeline), "file");
  GstElement *sink = gst_bin_get_by_name (GST_BIN (pipeline), "tokens");
  g_object_set (file, "location", argv[1], NULL);
  gst_object_unref (file);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);

  /* An error may come before anything reaches the sink, so the bus is asked between the looks. */
  GstMessage *failure = NULL;
  while (!failure && !gst_app_sink_is_eos (GST_APP_SINK (sink))) {
    GstSample *sample = gst_app_sink_try_pull_sample (GST_APP_SINK (sink), GST_SECOND / 10);
    failure = gst_bus_pop_filtered (GST_ELEMENT_BUS (pipeline), GST_MESSAGE_ERROR);
    if (!sample)
      continue;
    GstStructure *caps = gst_caps_get_structure (gst_sample_get_caps (sample), 0);
    int h = 0, w = 0;
    GstMapInfo map; /* The buffer's own memory: no copy. GStreamer aligns it for any number. */
    gst_structure_get (caps, "grid-height", G_TYPE_INT, &h, "grid-width", G_TYPE_INT, &w, NULL);
    if (!gst_buffer_map (gst_sample_get_buffer (sample), &map, GST_MAP_READ))
      return 1;
    const guint16 *token = (const guint16 *) map.data; /* The built-in tokenizer's `token-type` is uint16. */
    g_print ("[%d, %d, %d]:", (int) (map.size / sizeof *token / (h * w)), h, w);
    for (int i = 0; i < 6 && i < h * w; i++)
      g_print (" %u", GUINT16_FROM_LE (token[i]));
    g_print (" ...\n");
    gst_buffer_unmap (gst_sample_get_buffer (sample), &map);
    gst_sample_unref (sample);
  }
  if (failure) { /* In words that are for users. */
    gst_message_parse_error (failure, &error, NULL);
    g_printerr ("embed: %s: %s\n", argv[1], error->message);
    g_error_free (error);
    gst_message_unref (failure);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  return failure != NULL;
}
