# The network between the hosts: a namespace with a bridge, which lives as long as this process.
# $1: its address with the length of the network
set -euo pipefail
ip link set lo up
ip link add br0 type bridge
ip address add "$1" dev br0
ip link set br0 up
echo ready
exec sleep infinity
