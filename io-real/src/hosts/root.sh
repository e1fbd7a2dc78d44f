# Makes the root directory of a host: empty but for a small /etc. /usr comes later, from the machine.
# $1: the root; $2: the host's name; $3: its machine id
set -euo pipefail
mkdir -p "$1"
cd "$1"
mkdir -p usr proc sys dev run tmp root opt srv mnt var/{lib,tmp,cache,log/journal}
mkdir -p etc/systemd/{system,system-generators,system.conf.d,journald.conf.d}
for dir in bin sbin lib lib64; do ln -s usr/$dir $dir; done
ln -s ../run var/run
for file in passwd group shadow nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d pam.d security login.defs alternatives \
  services protocols dbus-1 ssl nftables.conf; do
  if [ -e /etc/$file ]; then cp -a /etc/$file etc/; fi
done
echo "$2" > etc/hostname
echo "$3" > etc/machine-id
echo "127.0.0.1 localhost $2" > etc/hosts

# Units that want a real machine, and generators, which make each reload slow.
mask() { ln -sfn /dev/null "etc/systemd/system/$1"; }
units=/usr/lib/systemd/system
for unit in $(ls $units/sysinit.target.wants $units/timers.target.wants 2>/dev/null | grep -v : ); do
  case $unit in systemd-journald.service | systemd-journal-flush.service) ;; *) mask "$unit" ;; esac
done
for unit in systemd-remount-fs.service systemd-initctl.socket systemd-journald-audit.socket systemd-tmpfiles-clean.timer \
  systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket tmp.mount swap.target; do
  mask $unit
done
for generator in /usr/lib/systemd/system-generators/*; do
  ln -s /dev/null "etc/systemd/system-generators/${generator##*/}"
done
cat > etc/systemd/system/default.target <<END
[Unit]
Requires=basic.target dbus.service
Wants=multi-user.target
After=basic.target dbus.service multi-user.target
AllowIsolate=yes
END
# Only what a test enables is wanted by it.
cat > etc/systemd/system/multi-user.target <<END
[Unit]
Requires=basic.target
After=basic.target
END
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nSyncIntervalSec=1s\n' > etc/systemd/journald.conf.d/host.conf
printf '[Manager]\nDefaultTimeoutStopSec=5s\nLogLevel=notice\n' > etc/systemd/system.conf.d/host.conf
