//! Tokens over RTP by real transports on the loopback device: UDP, SDP, RTP sessions, WebRTC.

mod common;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::*;
use gst::prelude::*;

const WIDTH: u32 = 64;
/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A live camera and an encoder that starts a segment every 20 frames.
fn camera(frames: i32) -> String {
    format!(
        "videotestsrc is-live=true num-buffers={frames} pattern=ball ! video/x-raw,format=RGB,width={WIDTH},height={WIDTH} ! \
         vidtokenc name=encoder key-interval=20"
    )
}

const DECODER: &str = "vidtokdec name=decoder ! appsink name=sink sync=false";

/// A port that nothing listens on.
fn port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A pipeline that ends with the test.
struct Running(gst::Pipeline);

impl Running {
    fn new(line: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Self(pipeline.downcast().unwrap())
    }

    fn play(&self) {
        self.0.set_state(gst::State::Playing).unwrap();
    }

    fn element(&self, name: &str) -> gst::Element {
        self.0.by_name(name).unwrap_or_else(|| panic!("no element {name}"))
    }

    /// Waits for as many pictures. Panics on an error, or when they do not come.
    fn pictures(&self, count: usize) -> Vec<gst::Buffer> {
        let sink = self.element("sink").downcast::<gst_app::AppSink>().unwrap();
        let timeout = gst::ClockTime::from_nseconds(PATIENCE.as_nanos() as u64);
        let mut pictures = Vec::new();
        while pictures.len() < count {
            let Some(sample) = sink.try_pull_sample(timeout) else {
                let errors = [gst::MessageType::Error];
                let error = self.0.bus().unwrap().pop_filtered(&errors);
                panic!("{} of {count} pictures: {error:?}", pictures.len());
            };
            pictures.push(sample.buffer_owned().unwrap());
        }
        pictures
    }

    fn stat(&self, element: &str, field: &str) -> u64 {
        self.element(element)
            .property::<gst::Structure>("stats")
            .get(field)
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// The caps that a payloader announces for the camera's tokens, as text.
fn rtp_caps() -> gst::Caps {
    init();
    let line = format!("{} ! rtpvidtokpay ! appsink name=sink sync=false", camera(2));
    let sender = Running::new(&line);
    sender.play();
    sender.pictures(1);
    let pad = sender.element("sink").static_pad("sink").unwrap();
    let mut caps = pad.current_caps().unwrap();
    let s = caps.make_mut().structure_mut(0).unwrap();
    // A receiver takes any sender.
    s.remove_fields(["ssrc", "timestamp-offset", "seqnum-offset"]);
    caps
}

#[test]
fn tokens_play_over_udp_with_caps_that_were_copied() {
    let port = port();
    let receiver = Running::new(&format!(
        "udpsrc port={port} caps=\"{}\" ! rtpjitterbuffer latency=50 ! rtpvidtokdepay name=receiver ! {}",
        rtp_caps().to_string().replace('"', "\\\""),
        DECODER
    ));
    receiver.play();
    let sender = Running::new(&format!(
        "{} ! rtpvidtokpay ! udpsink host=127.0.0.1 port={port}",
        camera(40)
    ));
    sender.play();
    receiver.pictures(30);
    assert_eq!(receiver.stat("receiver", "concealed-cells"), 0);
    assert_eq!(receiver.stat("decoder", "gaps"), 0);
}

#[test]
fn a_receiver_without_caps_plays_over_udp() {
    let port = port();
    let receiver = Running::new(&format!(
        "udpsrc port={port} caps=application/x-rtp,media=video,encoding-name=VIDTOK,clock-rate=90000 ! \
         rtpjitterbuffer latency=50 ! rtpvidtokdepay ! {}",
        DECODER
    ));
    receiver.play();
    let sender = Running::new(&format!(
        "{} ! rtpvidtokpay config-interval=-1 ! udpsink host=127.0.0.1 port={port}",
        camera(40)
    ));
    sender.play();
    receiver.pictures(20);
}

#[test]
fn an_sdp_file_plays() {
    let port = port();
    let caps = rtp_caps();
    let s = caps.structure(0).unwrap();
    // As RFC 4566 has it: all fields of the format in one line.
    let parameters = s.iter().filter_map(|(name, value)| {
        let is_own = !["media", "encoding-name"].contains(&name.as_str());
        Some(format!("{name}={}", value.get::<String>().ok().filter(|_| is_own)?))
    });
    let parameters: Vec<String> = parameters.collect();
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=tokens\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video {port} RTP/AVPF 96\r\n\
         a=rtpmap:96 VIDTOK/90000\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\na=fmtp:96 {}\r\n",
        parameters.join(";")
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sdp).unwrap();
    // decodebin finds the depayloader and the decoder by their ranks.
    let receiver = Running::new(&format!(
        "filesrc location={} ! sdpdemux latency=50 ! decodebin ! appsink name=sink sync=false caps=video/x-raw",
        file.path().display()
    ));
    receiver.play();
    let sender = Running::new(&format!(
        "{} ! rtpvidtokpay ! udpsink host=127.0.0.1 port={port}",
        camera(60)
    ));
    sender.play();
    receiver.pictures(20);
}

/// Two pipelines of rtpbin that are linked by a function each way: of RTP, and of RTCP.
#[test]
fn a_lost_start_reaches_the_encoder_as_a_key_request() {
    let [rtp, rtcp, feedback] = [port(), port(), port()];
    let caps = rtp_caps();
    let receiver = Running::new(&format!(
        "rtpbin name=bin latency=50 rtp-profile=avpf \
         udpsrc port={rtp} caps=\"{}\" ! bin.recv_rtp_sink_0 \
         bin. ! rtpvidtokdepay name=receiver ! {DECODER} \
         udpsrc port={rtcp} ! bin.recv_rtcp_sink_0 \
         bin.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={feedback} sync=false async=false",
        caps.to_string().replace('"', "\\\"")
    ));
    receiver.play();
    // One segment: the only starts are the first and those that are asked for.
    let sender = Running::new(&format!(
        "rtpbin name=bin rtp-profile=avpf {} key-interval=0 ! rtpvidtokpay name=pay ! identity name=line ! bin.send_rtp_sink_0 \
         bin.send_rtp_src_0 ! udpsink host=127.0.0.1 port={rtp} \
         bin.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={rtcp} sync=false async=false \
         udpsrc port={feedback} ! bin.recv_rtcp_sink_0",
        camera(300)
    ));
    // The first packets are lost: a receiver that comes in the middle.
    let came = Arc::new(AtomicUsize::new(0));
    let line = sender.element("bin").static_pad("send_rtp_src_0").unwrap();
    let lists = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    line.add_probe(lists, move |_, _| match came.fetch_add(1, Ordering::Relaxed) {
        0..3 => gst::PadProbeReturn::Drop,
        _ => gst::PadProbeReturn::Ok,
    });
    sender.play();
    receiver.pictures(8);
    assert!(receiver.stat("receiver", "key-requests") >= 1);
    assert_eq!(sender.stat("encoder", "segments"), 2);
}

/// An element as a bin with pads that rtpbin expects of an auxiliary element for session 0.
fn auxiliary(element: &gst::Element) -> gst::Bin {
    let bin = gst::Bin::new();
    bin.add(element).unwrap();
    for name in ["sink", "src"] {
        let pad = element.static_pad(name).unwrap();
        let ghost = gst::GhostPad::builder_with_target(&pad)
            .unwrap()
            .name(format!("{name}_0"));
        bin.add_pad(&ghost.build()).unwrap();
    }
    bin
}

#[test]
fn a_lost_packet_is_sent_again() {
    let [rtp, rtcp, feedback] = [port(), port(), port()];
    let caps = rtp_caps();
    let map: gst::Structure = "application/x-rtp-pt-map,96=(uint)97".parse().unwrap();
    let receiver = Running::new(&format!(
        "rtpbin name=bin latency=300 rtp-profile=avpf do-retransmission=true udpsrc port={rtp} name=source \
         udpsrc port={rtcp} ! bin.recv_rtcp_sink_0 \
         bin.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={feedback} sync=false async=false \
         rtpvidtokdepay name=receiver ! {DECODER}"
    ));
    let repeats = gst::ElementFactory::make("rtprtxreceive")
        .property("payload-type-map", &map)
        .build()
        .unwrap();
    let bin = receiver.element("bin");
    let element = repeats.clone();
    bin.connect("request-aux-receiver", false, move |_| {
        Some(auxiliary(&element).to_value())
    });
    let known = caps.clone();
    bin.connect("request-pt-map", false, move |values| {
        let payload: u32 = values[2].get().unwrap();
        let repeated = "application/x-rtp,media=video,clock-rate=90000,encoding-name=RTX,apt=96";
        Some(match payload {
            97 => repeated.parse::<gst::Caps>().unwrap().to_value(),
            _ => known.to_value(),
        })
    });
    bin.connect("new-jitterbuffer", false, |values| {
        let buffer: gst::Element = values[1].get().unwrap();
        // By times, not by the next packet: the packets of a latent frame come in one go.
        buffer.set_property("rtx-next-seqnum", false);
        None
    });
    let depayloader = receiver.element("receiver");
    bin.connect_pad_added(move |_, pad| {
        if pad.name().starts_with("recv_rtp_src_0") {
            pad.link(&depayloader.static_pad("sink").unwrap()).unwrap();
        }
    });
    // Every tenth packet is lost, once the session's first reports are through; those that are sent again are not.
    let lost = Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    let number = AtomicUsize::new(0);
    let drops = move |packet: &gst::BufferRef| {
        let is_original = packet.map_readable().unwrap()[1] & 0x7f == 96;
        let number = number.fetch_add(usize::from(is_original), Ordering::Relaxed);
        let drops = is_original && number > 20 && number % 10 == 4;
        count.fetch_add(usize::from(drops), Ordering::Relaxed);
        drops
    };
    let source = receiver.element("source");
    let network = source.static_pad("src").unwrap();
    network.add_probe(gst::PadProbeType::BUFFER, move |_, info| match &info.data {
        Some(gst::PadProbeData::Buffer(buffer)) if drops(buffer) => gst::PadProbeReturn::Drop,
        _ => gst::PadProbeReturn::Ok,
    });
    source.set_property("caps", &caps);
    source.link_pads(Some("src"), &bin, Some("recv_rtp_sink_0")).unwrap();
    receiver.play();

    let sender = Running::new(&format!(
        "rtpbin name=bin rtp-profile=avpf {} ! rtpvidtokpay mtu=100 ! rtprtxsend name=rtx ! bin.send_rtp_sink_0 \
         bin.send_rtp_src_0 ! udpsink host=127.0.0.1 port={rtp} \
         bin.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={rtcp} sync=false async=false \
         udpsrc port={feedback} ! bin.recv_rtcp_sink_0",
        camera(300)
    ));
    sender.element("rtx").set_property("payload-type-map", &map);
    sender.play();
    receiver.pictures(90);
    let lost = lost.load(Ordering::Relaxed);
    assert!(lost >= 2, "{lost}");
    assert!(repeats.property::<u32>("num-rtx-assoc-packets") >= 2);
    // RTCP has a timing of its own, so that a request may come too late. Half of a latent frame's 64 cells are in a packet.
    assert!(receiver.stat("receiver", "concealed-cells") <= (lost as u64 - 1) * 32);
    assert_eq!(receiver.stat("decoder", "gaps"), 0);
}

/// Connects two webrtcbins in one process: what one says, the other is told.
fn connect(offering: &gst::Element, answering: &gst::Element) {
    for (from, to) in [(offering, answering), (answering, offering)] {
        let to = to.downgrade();
        from.connect("on-ice-candidate", false, move |values| {
            if let Some(to) = to.upgrade() {
                to.emit_by_name::<()>("add-ice-candidate", &[&values[1], &values[2]]);
            }
            None
        });
    }
    let answering = answering.downgrade();
    offering.connect("on-negotiation-needed", false, move |values| {
        let offering: gst::Element = values[0].get().unwrap();
        let (here, there) = (offering.downgrade(), answering.clone());
        let promise = gst::Promise::with_change_func(move |reply| {
            let offer: gst::glib::Value = reply.unwrap().unwrap().value("offer").unwrap().clone().into();
            let (Some(here), Some(there)) = (here.upgrade(), there.upgrade()) else {
                return;
            };
            let none = None::<gst::Promise>;
            here.emit_by_name_with_values("set-local-description", &[offer.clone(), none.to_value()]);
            there.emit_by_name_with_values("set-remote-description", &[offer, none.to_value()]);
            let (back, own) = (here.downgrade(), there.downgrade());
            let promise = gst::Promise::with_change_func(move |reply| {
                let answer: gst::glib::Value = reply.unwrap().unwrap().value("answer").unwrap().clone().into();
                let (Some(back), Some(own)) = (back.upgrade(), own.upgrade()) else {
                    return;
                };
                own.emit_by_name_with_values("set-local-description", &[answer.clone(), none.to_value()]);
                back.emit_by_name_with_values("set-remote-description", &[answer, none.to_value()]);
            });
            there.emit_by_name::<()>("create-answer", &[&None::<gst::Structure>, &promise]);
        });
        offering.emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
        None
    });
}

#[test]
fn tokens_play_over_webrtc() {
    let line = format!(
        "{} ! rtpvidtokpay name=pay ! application/x-rtp,payload=96 ! webrtcbin name=offering bundle-policy=max-bundle \
         webrtcbin name=answering bundle-policy=max-bundle latency=100 rtpvidtokdepay name=receiver ! {DECODER}",
        camera(600)
    );
    let both = Running::new(&line);
    let [offering, answering] = ["offering", "answering"].map(|name| both.element(name));
    connect(&offering, &answering);
    let depayloader = both.element("receiver");
    answering.connect_pad_added(move |_, pad| {
        if pad.direction() == gst::PadDirection::Src {
            pad.link(&depayloader.static_pad("sink").unwrap()).unwrap();
        }
    });
    both.play();
    both.pictures(60);
    assert_eq!(both.stat("receiver", "concealed-cells"), 0);
}
