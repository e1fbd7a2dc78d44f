# Holds one network namespace and one mount namespace, with a /run of its own, until it is killed.
set -euo pipefail
mount -t tmpfs tmpfs /run
mkdir /run/lock
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
echo ready
exec sleep infinity
