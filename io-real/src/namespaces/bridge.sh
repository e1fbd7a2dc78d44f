# The network between the namespaces: a bridge at .254, and a cable to each of them. Lives as long as this process.
# $1: the processes that hold the namespaces, in their order; $2: "dual" for addresses of IPv6 too
set -euo pipefail
ip link set lo up
ip link add br0 type bridge
ip address add 192.168.99.254/24 dev br0
if [ "$2" = dual ]; then ip address add fd99::fe/64 dev br0 nodad; fi
ip link set br0 up
number=0
for holder in $1; do
  number=$((number + 1))
  ip link add "p$number" type veth peer name eth0 netns "$holder"
  ip link set "p$number" master br0 up
done
echo ready
exec sleep infinity
