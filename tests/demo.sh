#!/usr/bin/env bash
# Makes small clips and runs the demo's program on them: demo.sh PLUGIN PROGRAM. ORT_DYLIB_PATH must be set.
set -euo pipefail
checkout=$(realpath "$(dirname "$0")/..")
plugin=$(realpath "$1") program=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir plugins
cp "$plugin" plugins/
export GST_PLUGIN_PATH=$PWD/plugins
passed=0 failed=0

# check WHAT COMMAND...
check() {
    if "${@:2}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$1"
        tail -n 5 log
    fi
}

make() { timeout 20 gst-launch-1.0 -q "$@" >/dev/null; }
demo() { timeout --kill-after=5 60 "$program" "$@" >log 2>&1; }
fails() { ! demo "$@"; }
says() { grep -- "$1" log >/dev/null; }
silent_on() { ! says "$1"; }

# refused WHAT WORDS ARGUMENT...: checks that the demo fails, says WORDS, and leaves no file.
refused() {
    check "$1 is refused" fails --output results "${@:3}"
    check "$1: it says \"$2\"" says "$2"
    check "$1 leaves nothing" test ! -e results
}

# holds FILE TEXT: whether gst-discoverer-1.0 prints TEXT about FILE.
holds() { timeout 20 gst-discoverer-1.0 -v "$1" | grep -- "$2" >/dev/null; }

# interrupted SIGNAL...: sends these signals together while the demo encodes; whether one of them ended it.
interrupted() {
    "$program" --output results long.mkv >log 2>&1 &
    local demo=$! signal status=0
    for _ in {1..500}; do
        [ ! -e results/unfinished-*/clip.vidtok ] || break
        sleep 0.01
    done
    for signal; do kill -s "$signal" "$demo"; done
    timeout --kill-after=1 20 tail --pid="$demo" -f /dev/null
    wait "$demo" || status=$?
    for signal; do [ "$status" -ne $((128 + $(kill -l "$signal"))) ] || return 0; done
    echo "ended with $status" >>log
    return 1
}

# tick FILE DEMUXER: prints when the first sound stream has its first tick, in tenths of a second.
tick() {
    timeout 20 gst-launch-1.0 -m filesrc location="$1" ! "$2" name=streams streams.audio_0 ! queue ! decodebin ! audioconvert \
        ! audio/x-raw,channels=1 ! level interval=10000000 ! fakesink sync=false |
        grep -o 'stream-time=(guint64)[0-9]*\|peak=(GValueArray)< [-0-9.inf]*' | sed 's/.*[)< ]//' | paste - - |
        awk '$2 != "-inf" && $2 > -20 { printf "%d", $1 / 1e8 + 0.5; exit }'
}

picture="video/x-raw,format=I420,width=64,height=48,framerate=20/1"
# Two video and two sound streams. The first sound stream begins half a second later and ticks every second.
make videotestsrc num-buffers=30 ! "$picture" ! x264enc ! h264parse ! mux. \
    videotestsrc num-buffers=30 ! video/x-raw,width=80,height=64,framerate=20/1 ! x264enc ! h264parse ! mux. \
    audiotestsrc wave=ticks timestamp-offset=500000000 num-buffers=60 ! audio/x-raw,rate=44100 ! avenc_aac ! aacparse ! mux. \
    audiotestsrc num-buffers=30 ! audio/x-raw,rate=22050 ! avenc_aac ! aacparse ! mux. \
    matroskamux name=mux ! filesink location=streams.mkv
make videotestsrc num-buffers=9 ! "$picture" ! x264enc ! h264parse ! mp4mux ! filesink location=phone.mp4
# Turned by a quarter, as phones store it: in the matrix of the track header, 44 bytes after its name.
python3 - phone.mp4 <<'PYTHON'
import pathlib, struct, sys

file = pathlib.Path(sys.argv[1])
data = bytearray(file.read_bytes())
place = data.index(b"tkhd") + 44
struct.pack_into(">9i", data, place, 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
file.write_bytes(data)
PYTHON
# Without a frame rate; with one frame; of odd width and height; smaller than the demo accepts.
make videotestsrc num-buffers=9 ! "$picture" ! vp8enc \
    ! capssetter replace=false caps='video/x-vp8,framerate=(fraction)0/1' ! matroskamux ! filesink location=rateless.mkv
make videotestsrc num-buffers=1 ! "$picture" ! x264enc ! h264parse ! matroskamux ! filesink location=-dash.mkv
make videotestsrc num-buffers=9 ! video/x-raw,format=Y444,width=65,height=47 ! x264enc ! h264parse ! matroskamux \
    ! filesink location=odd.mkv
make videotestsrc num-buffers=1 ! video/x-raw,width=12,height=40 ! pngenc ! filesink location=small.png
make videotestsrc num-buffers=600 ! "$picture" ! x264enc speed-preset=ultrafast ! h264parse ! matroskamux \
    ! filesink location=long.mkv
mkdir half-model
cp "$checkout"/models/vidtok-small-488-32768/{tokenizer.json,encoder.onnx} half-model/
make audiotestsrc num-buffers=20 ! avenc_aac ! mp4mux ! filesink location=sound.mp4
head -c 2000 phone.mp4 >cut.mp4
echo 'no video' >text.mp4

check "a file of several streams" demo --output results streams.mkv
check "the first picture is taken" says '64×48'
check "it says that the sound was kept" says 'Sound *kept'
check "the reconstruction has sound" holds results/reconstruction.mp4 'audio.*AAC'
check "players can show it" holds results/reconstruction.mp4 'x-h264.*profile=(string)high,.*format=(string)4:2:0'
check "the sound is in time" test "$(tick results/reconstruction.mp4 qtdemux)" = 15
check "there is a picture" test -s results/comparison.png
check "there are tokens and nothing else" test "$(cd results && echo *)" = "clip.vidtok comparison.png reconstruction.mp4"
cp results/clip.vidtok before

check "a failure" fails --output results cut.mp4
check "it leaves earlier results as they were" cmp results/clip.vidtok before
check "it leaves nothing beside them" test "$(cd results && echo *)" = "clip.vidtok comparison.png reconstruction.mp4"

check "the first frames only" demo --output results --frames 20 streams.mkv
check "it says how many" says '20 in, 20 out'
# One second, and up to the end of a block of the sound.
check "sound ends with them" holds results/reconstruction.mp4 'Duration: 0:00:01.0'
check "frames before the sound" demo --output results --frames 9 streams.mkv
check "what is written then plays" holds results/reconstruction.mp4 'Duration: 0:00:00.45'
rm -r results

check "video from a phone" demo --output results phone.mp4
check "it is upright" says '48×64'
check "it has no sound" says 'Sound *the video has none'
rm -r results

check "video of an odd size" demo --output results odd.mkv
check "nothing is cut off or added" holds results/reconstruction.mp4 'width=(int)65, height=(int)47'
check "it says that players may lack something" says 'in 4:4:4 as its size is odd'
check "video without a frame rate" demo --output results rateless.mkv
check "it says how fast it was" says 'Encode  *[0-9.]* frames/s, reading and writing included'
check "a video behind --" demo --output results -- -dash.mkv
check "it counts one frame" says 'Encoding 1 frame took'
rm -r results

check "an interrupt by two signals" interrupted TERM INT
check "it leaves nothing" test ! -e results

refused "an unknown option" 'unknown option --bogus' --bogus
refused "a name that is not text" 'is not UTF-8: rename it' $'\xff.mp4'
refused "a small picture" 'small.png: its pictures are 12×40, and the demo takes none below 16×16' small.png
refused "a tokenizer without a decoder" 'half-model/decoder.onnx: No such file' --model "$PWD/half-model" phone.mp4
check "nothing was encoded in vain" silent_on 'Encoding'
refused "a file of sound" 'sound.mp4: this is sound only' sound.mp4
refused "a file that is cut off" 'cut.mp4: ' cut.mp4
refused "a file that is not a video" 'text.mp4: ' text.mp4
refused "a folder" 'plugins: this is a folder' plugins
refused "a missing file" 'nowhere.mp4: No such file' nowhere.mp4
refused "a model that is not there" 'no tokenizer "nothing"' --model nothing phone.mp4

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
