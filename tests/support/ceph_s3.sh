#!/bin/bash
# ceph-s3.sh up|down: one Ceph monitor, one in-memory OSD and radosgw, on loopback, as an S3
# server. Packages: radosgw ceph-mon ceph-osd ceph-common. No mgr is needed.
# Access key LABKEY, secret LABSECRET, path-style addresses.
#   DIR folder (default /tmp/sluice-ceph-s3), PORT radosgw (default 18480), PORT+1 monitor
set -euo pipefail
DIR=${DIR:-/tmp/sluice-ceph-s3} PORT=${PORT:-18480}
export CEPH_CONF=$DIR/ceph.conf CEPH_ARGS="--conf $DIR/ceph.conf"
case $1 in
up)
    mkdir -p "$DIR"/{mon,osd,rgw,run}; fsid=$(cat /proc/sys/kernel/random/uuid)
    cat >"$CEPH_CONF" <<C
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$((PORT + 1))/0]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
run_dir = $DIR/run
admin_socket = $DIR/run/\$name.asok
pid_file = $DIR/run/\$name.pid
log_file = $DIR/\$name.log
crash_dir = $DIR/run
[mon]
mon_data = $DIR/mon
mon_initial_members = a
mon_data_avail_crit = 1
mon_data_avail_warn = 1
[osd]
osd_data = $DIR/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_memory_target = 939524096
[client.rgw]
ms_mon_client_mode = crc            # radosgw defaults to secure, which needs cephx
rgw_data = $DIR/rgw
rgw_frontends = beast endpoint=127.0.0.1:$PORT
rgw_thread_pool_size = 16
rgw_enable_usage_log = false
rgw_enable_ops_log = false
C
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$((PORT + 1))]" "$DIR/monmap" >/dev/null
    ceph-authtool --create-keyring "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    ceph-mon --mkfs -i a --monmap "$DIR/monmap" --keyring "$DIR/keyring"
    ceph-mon -i a
    uuid=$(cat /proc/sys/kernel/random/uuid)
    id=$(ceph osd new "$uuid")      # without the same uuid in --mkfs the monitor ignores the OSD
    ceph-osd -i "$id" --mkfs --osd-uuid "$uuid" --osd-data "$DIR/osd" >/dev/null 2>&1
    ceph osd crush add "$id" 1 root=default >/dev/null 2>&1
    ceph-osd -i "$id" --osd-data "$DIR/osd"
    radosgw-admin -n client.rgw user create --uid=lab --display-name=lab \
        --access-key=LABKEY --secret-key=LABSECRET >"$DIR/user.json" 2>"$DIR/user.err"
    radosgw -n client.rgw
    for ((n = 0; n < 600; n++)); do
        ! curl -s -o /dev/null "http://127.0.0.1:$PORT/" || exit 0
        sleep 0.1
    done
    exit 1 ;;
down)
    for f in client.rgw osd.0 mon.a; do
        [ ! -s "$DIR/run/$f.pid" ] || kill "$(<"$DIR/run/$f.pid")" 2>/dev/null || true
    done ;;
esac
