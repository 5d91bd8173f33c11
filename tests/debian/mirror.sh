# SPDX-License-Identifier: BSD-2-Clause
# Sourced: Debian's mirror as this host's apt knows it, in $mirror, and the proxy that it goes through.
mirror=${LODGE_MIRROR-}
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
	sed -n 's|/* Debian Debian$||p' | head -n 1) || true
mirror=${mirror:-http://deb.debian.org/debian}
eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null || true)"
[ -z "${proxy-}" ] || export http_proxy=${http_proxy:-$proxy}
