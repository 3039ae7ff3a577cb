#!/usr/bin/env bash
# Runs the launch lines of README.md, docs/recipes.md, docs/network.md and docs/live.md, and the Python of README.md and
# python/README.md, as they are written there: readme.sh PLUGIN.
# ORT_DYLIB_PATH must be set, VIDTOK_PYTHON may name a Python with NumPy.
#
# Changed is only what needs a screen or never ends: the video sink, a live test source, and a player's keys.
set -euo pipefail
plugin=$(realpath "$1")
root=$(realpath "$(dirname "$0")/..")
folder=$(mktemp -d)
sender=
trap 'stop_sender; rm -rf "$folder"' EXIT
cd "$folder"

mkdir plugins
cp "$plugin" plugins/
export GST_PLUGIN_PATH=$PWD/plugins
cp "$root/examples/signing.mp4" in.mp4
export VIDTOK=$root
passed=0 failed=0

check() {
    local shown=$1
    shift
    if timeout --kill-after=5 120 "$@" >log 2>&1 && ! grep -q '^ERROR' log; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$shown"
        tail -n 20 log
    fi
}

# blocks FILE LANGUAGE: lines of the blocks of one language; a backslash joins a line with the next.
blocks() {
    awk -v start="\`\`\`$2" '$0 == start { inside = 1; next } /^```/ { inside = 0 } inside' "$root/$1" |
        sed -e ':a' -e '/\\$/N; s/\\\n *//; ta'
}

stop_sender() {
    if [ -n "$sender" ]; then
        kill "$sender" 2>/dev/null || true
        wait "$sender" 2>/dev/null || true
    fi
    sender=
}

# receive LINE: tries again, as a receiver fails until the sender listens.
receive() {
    local try
    for try in 1 2 3 4 5 6 7 8; do
        if timeout --kill-after=5 30 bash -c "$1" >log 2>&1; then
            return
        fi
        sleep 0.5
    done
    return 1
}

# launch_lines FILE FEWEST: runs the launch lines of FILE, which has at least FEWEST of them.
launch_lines() {
    local line runnable lines=0
    while read -r line; do
        runnable=$(sed -e 's/autovideosink/fakesink sync=true/' -e 's/is-live=true/is-live=true num-buffers=30/' \
            -e 's/^gst-play-1.0/gst-play-1.0 --no-interactive --videosink=fakevideosink/' <<<"$line")
        check "$line" bash -c "$runnable"
        lines=$((lines + 1))
    done < <(blocks "$1" sh | grep '^gst-')
    check "$1 has $2 launch lines or more" test "$lines" -ge "$2"
}

launch_lines README.md 6
blocks README.md python >snippet.py
check "the Python of README.md" "${VIDTOK_PYTHON:-python3}" snippet.py
launch_lines docs/recipes.md 3

# Pairs of lines, a sender and its receiver. The receiver has to show ten pictures.
while read -r sending && read -r receiving; do
    bash -c "exec $sending" >sent 2>&1 &
    sender=$!
    case $sending in *" num-buffers="*) wait "$sender" ;; esac
    if receive "${receiving/autovideosink/fakesink num-buffers=10}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  | %s\n' "$sending" "$receiving"
        tail -n 10 sent log
    fi
    stop_sender
done < <(blocks docs/network.md sh; blocks docs/live.md sh)

cp out.vidtok clip.vidtok
blocks python/README.md python >snippet.py
PYTHONPATH=$root/python check "the Python of python/README.md" "${VIDTOK_PYTHON:-python3}" snippet.py
for file in out.vidtok tokens.u16; do
    check "$file is not empty" test -s "$file"
done

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
