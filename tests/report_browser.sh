#!/bin/sh
# Looks at a data set's report in Chromium, at the widths of a desktop and a phone, light and dark:
#
#   tests/report_browser.sh REPORT.html [FOLDER]
#
# It fails where something is wider than the window, where the browser complains, and where the page asks for anything
# but itself. Pictures of it go into FOLDER. playwright-core, and Chromium unless it is installed, go into a temporary
# folder. Needs Node.js.
set -eu
if [ $# -lt 1 ] || [ ! -f "$1" ]; then
    echo "usage: $0 REPORT.html [FOLDER], with the report of vidtok-dataset-report" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
report=$(realpath "$1")
folder=
if [ $# -gt 1 ]; then
    mkdir -p "$2"
    folder=$(realpath "$2")
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund playwright-core@1
CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
if [ -z "$CHROMIUM" ]; then
    export PLAYWRIGHT_BROWSERS_PATH="$work/browsers"
    npx playwright-core install chromium-headless-shell
fi
export CHROMIUM
# $folder is a word only if there is one.
node "$here/browser/look.mjs" "$report" ${folder:+"$folder"}
