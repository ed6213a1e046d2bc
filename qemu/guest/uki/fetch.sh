#!/bin/bash
# Fetches ukify and the stubs of systemd 257 from Debian 13, without changing this machine.
#
#   fetch.sh OUT    OUT gets `tree`, the unpacked packages
set -euo pipefail
out=$1
mkdir -p "$out"/lists/partial "$out"/cache/archives/partial
# From where this machine has its own packages.
[ -n "$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian')" ] || apt-get update --quiet=2
key=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format "deb [signed-by=$key] \$(REPO_URI) trixie main" \
    'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u > "$out/sources.list"
own=(
    -o "Dir::State::Lists=$out/lists" -o "Dir::Cache=$out/cache" -o "Dir::Etc::SourceList=$out/sources.list"
    -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root
)
apt-get "${own[@]}" update --quiet=2
cd "$out"
apt-get "${own[@]}" download --quiet=2 systemd-ukify systemd-boot-efi
for package in *.deb; do
    dpkg -x "$package" tree
done
rm -r lists cache ./*.deb
