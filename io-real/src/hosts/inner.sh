# Becomes PID 1 of a host, in fresh namespaces. Waits for its network, builds the view that systemd expects, and gives way to it.
# $1: the host's root; $2: its address with the length of the network; $3: a file that holds this boot's id
set -euo pipefail
echo ready            # namespaces are there: the harness now moves eth0 in, and says so
read -r _
ip link set lo up
ip address add "$2" dev eth0
ip link set eth0 up

mount --make-rprivate /
mount --rbind "$1" "$1"
cd "$1"
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind run run  # a mount point, or systemd would hide it behind a tmpfs of its own
mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind "$3" proc/sys/kernel/random/boot_id
# Only the settings of the network are the host's own; systemd-sysctl must not reach the machine's.
mount --rbind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid dev dev
mkdir dev/pts dev/shm dev/net dev/mqueue
for device in null zero full random urandom tty net/tun; do
  if [ -e /dev/$device ]; then
    touch dev/$device
    mount --bind /dev/$device dev/$device
  fi
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs shm dev/shm
mount -t mqueue mqueue dev/mqueue
ln -s /proc/self/fd dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${stream%%:*} dev/${stream##*:}; done
hostname "$(cat etc/hostname)"
mkdir -p .old
pivot_root . .old
umount -l .old
rmdir .old
exec env -i container=orlop-hosts PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd </dev/null
