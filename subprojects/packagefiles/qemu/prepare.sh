#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bring a QEMU source tree to the state that this project builds from:
#   prepare.sh PROJECT_ROOT QEMU_TREE
#
# Patches: the files named in `series` (without it, *.patch in the order of their
# names). A changed series is unwound only from the first difference on, so that
# untouched QEMU files keep their time stamps.
# Overlay: every file below hw/, target/, include/ and qapi/, and the module model,
# is linked into the tree; a whole directory where QEMU has none of that name.
# Safe to run before each build. Exit status 3: the tree is half-patched (an
# earlier run was interrupted) and has to be unpacked again.
set -eu

root=$(cd "$1" && pwd)
tree=$(cd "$2" && pwd)
patches=$root/subprojects/packagefiles/qemu
state=$tree/.overlay
mkdir -p "$state/applied"
touch "$state/order" "$state/links"

die() {
    echo "prepare.sh: $1" >&2
    exit "${2:-1}"
}

if [ -e "$state/busy" ]; then
    die "the tree is half-patched" 3
fi

# --- patches ----------------------------------------------------------------
if [ -f "$patches/series" ]; then
    sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$patches/series"
else
    for p in "$patches"/*.patch; do
        if [ -e "$p" ]; then
            echo "${p##*/}"
        fi
    done
fi > "$state/wanted"

# How many patches, from the first on, are applied as wanted?
keep=0
while read -r have <&3 && read -r want <&4; do
    if [ "$have" != "$want" ] ||
       ! cmp -s "$patches/$want" "$state/applied/$want"; then
        break
    fi
    keep=$((keep + 1))
done 3< "$state/order" 4< "$state/wanted"

sed "1,${keep}d" "$state/order" > "$state/drop"
sed "1,${keep}d" "$state/wanted" > "$state/add"
if [ "$keep" = 0 ]; then
    cp "$state/order" "$state/drop"
    cp "$state/wanted" "$state/add"
fi

if [ -s "$state/drop" ] || [ -s "$state/add" ]; then
    : > "$state/busy"
    sed '1!G;h;$!d' "$state/drop" > "$state/drop.reversed"
    while read -r p; do
        echo "unapplying $p"
        patch -d "$tree" -p1 -R -s -f -i "$state/applied/$p" ||
            die "$p cannot be taken back" 3
        rm "$state/applied/$p"
    done < "$state/drop.reversed"
    while read -r p; do
        echo "applying $p"
        patch -d "$tree" -p1 -s -N --no-backup-if-mismatch -F0 -i "$patches/$p" ||
            die "$p does not apply to this QEMU"
        cp "$patches/$p" "$state/applied/$p"
    done < "$state/add"
    cp "$state/wanted" "$state/order"
    rm "$state/busy"
fi

# --- overlay ----------------------------------------------------------------
link() {        # link PATH: a file or directory of the project into the tree
    if [ -L "$tree/$1" ]; then
        if [ "$(readlink "$tree/$1")" != "$root/$1" ]; then
            ln -sfn "$root/$1" "$tree/$1"
        fi
    elif [ -d "$root/$1" ] && [ -d "$tree/$1" ]; then
        for e in "$root/$1"/*; do
            if [ -e "$e" ]; then
                link "$1/${e##*/}"
            fi
        done
    elif [ -e "$tree/$1" ]; then
        die "$1 is QEMU's own file; use a patch"
    else
        ln -s "$root/$1" "$tree/$1"
        echo "$1" >> "$state/links"
    fi
}

for top in hw target include qapi subprojects/tdxmod; do
    if [ -d "$root/$top" ]; then
        link "$top"
    fi
done

# links whose file has gone from the project
while read -r l; do
    if [ -L "$tree/$l" ] && [ ! -e "$tree/$l" ]; then
        rm "$tree/$l"
        echo "unlinked $l"
    fi
done < "$state/links"
