#!/usr/bin/env bash
# Rehearses the kit on the CPU: in a bare root of another distribution, by an unprivileged user, without a network. Every
# part runs there, or says in a line what it lacks.
#
#   gpu-kit/rehearse.sh --pieces FOLDER [--suite trixie] [--work FOLDER] [--packages python3,python3-numpy]
#
# FOLDER is what prepare.sh wrote. As root, since it makes a root (mmdebstrap) and changes into it.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

pieces='' suite=trixie work=$TARGET_FOLDER/gpu-kit/rehearsal packages=python3,python3-numpy
while [ $# -gt 0 ]; do
    case $1 in
        --pieces) pieces=$2 ;;
        --suite) suite=$2 ;;
        --work) work=$2 ;;
        --packages) packages=$2 ;;
        *)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' gpu-kit/rehearse.sh
            exit
            ;;
    esac
    shift 2
done
[ -f "$pieces/pieces.json" ] || fail "needs --pieces FOLDER, which prepare.sh writes"
[ "$(id -u)" -eq 0 ] || fail "has to be run by root"
setup_system mmdebstrap

root=$work/$suite
if [ ! -e "$root/complete" ]; then
    say "Making a root of $suite"
    rm -rf "$root"
    mkdir -p "$work"
    quietly mmdebstrap --variant=minbase --include="$packages" "$suite" "$root" || fail "mmdebstrap could not make $suite"
    touch "$root/complete"
fi

home=$root/home/rehearsal user=1000
rm -rf "$home"
mkdir -p "$home/pieces"
# One by one, as they reach a target.
for piece in "$pieces"/*; do
    cp "$piece" "$home/pieces/"
done
cat >"$home/all.sh" <<'SCRIPT'
set -eu
cd
failed=''
echo "user $(id -u), network: $(tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' \n'), $(. /etc/os-release; echo "$PRETTY_NAME")"
python3 --version
python3 pieces/join.py --to kit
for part in check speed pytorch tensorrt training; do
    echo "--- $part"
    python3 kit/kit.py run $part --provider cpu --small --budget 540 || failed="$failed $part"
done
python3 kit/kit.py pack --to packed
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
SCRIPT
chown -R "$user:$user" "$home"
say "Rehearsing in $suite"
unshare --net --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot --userspec="$user:$user" "$root" \
    /usr/bin/env -i HOME=/home/rehearsal PATH=/usr/bin:/bin LANG=C.UTF-8 /bin/sh /home/rehearsal/all.sh ||
    fail "a part failed; logs are in $home/results/logs"
say "Rehearsed; results are in $home/packed"
cat "$home/packed/results.md"
