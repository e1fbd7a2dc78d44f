# Takes everything away once its input ends: the harness is dropped, or its process has died in whatever way.
# $1: directory of the cgroups; $2: the prefix of those that are ours; $3: the directory of the hosts
cat > /dev/null
for group in "$1/$2"-*; do
  [ -d "$group" ] || continue
  echo 1 > "$group/cgroup.kill"
  for _ in $(seq 1000); do
    grep -q 'populated 0' "$group/cgroup.events" && break
    sleep 0.01
  done
  find "$group" -depth -type d -exec rmdir {} +
done
rm -rf --one-file-system "$3"
