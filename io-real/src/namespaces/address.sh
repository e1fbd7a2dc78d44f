# Gives a namespace its address on the bridge, and the way out by it.
# $1: its number; $2: "dual" for IPv6 too
set -euo pipefail
ip address add "192.168.99.$1/24" dev eth0
if [ "$2" = dual ]; then ip address add "$(printf 'fd99::%x/64' "$1")" dev eth0 nodad; fi
ip link set eth0 up
ip route add default via 192.168.99.254
if [ "$2" = dual ]; then ip route add default via fd99::fe; fi
