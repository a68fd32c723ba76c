#!/usr/bin/env bash
# MySQL 9.7.4 (Debian unstable), default settings. As root: installs the server into a temporary Debian root (debootstrap).
#
# INSERT INTO totals SELECT post, MAX(day) FROM days GROUP BY post is refused with "1292 Incorrect date value: '0000-00-00'",
# though no such value is anywhere: the first day of the group is NULL. It is so for DATE and TIMESTAMP, where MySQL groups in a
# temporary table; DATETIME, text and numbers are inserted as they should be. With an index that begins with the grouped column,
# or with SQL_BIG_RESULT, no such table is needed and the same statement works; and the SELECT alone always does. So whether an
# INSERT fails depends on an index, on its data, and on what the optimizer thinks of both.
#
# Ends with 0 while that is so, with 1 when it has changed, with 2 where another version is what Debian has by now.
set -euo pipefail

VERSION=9.7.4
folder=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  for each in dev proc; do mountpoint -q "$folder/root/$each" && umount "$folder/root/$each"; done
  rm -rf --one-file-system "$folder"
}
trap cleanup EXIT

if ! command -v debootstrap >/dev/null; then apt-get install -y --no-install-recommends debootstrap >/dev/null; fi
root=$folder/root
debootstrap --variant=minbase sid "$root" >/dev/null
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"
chroot "$root" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y --no-install-recommends mysql-server-core mysql-client-core >/dev/null 2>&1
found=$(chroot "$root" mysqld --version); echo "$found"
case $found in *"$VERSION"*) ;; *) echo "not $VERSION: look again by hand"; exit 2 ;; esac

own=(--no-defaults --user=root --datadir=/tmp/data --secure-file-priv=NULL)
chroot "$root" mysqld "${own[@]}" --initialize-insecure 2>/dev/null
chroot "$root" mysqld "${own[@]}" --mysqlx=OFF --skip-networking --socket=/tmp/s --pid-file=/tmp/p 2>"$folder/log" &
server=$!
sql() { chroot "$root" mysql --no-defaults -uroot -S/tmp/s -N "$@"; }
for _ in $(seq 120); do sql -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.5; done

sql -e 'CREATE DATABASE d; SELECT @@sql_mode'
# One row of a post whose day is not known yet, then one whose day is.
outcome() { # type, index, hint
  sql d -e "DROP TABLE IF EXISTS days, totals;
    CREATE TABLE days (id INT PRIMARY KEY AUTO_INCREMENT, post INT NOT NULL, day $1 NULL $2);
    CREATE TABLE totals (post INT PRIMARY KEY, last_day $1 NULL);
    INSERT INTO days (post, day) VALUES (1, NULL), (1, '2026-08-02');
    INSERT INTO totals SELECT $3 post, MAX(day) FROM days GROUP BY post;
    SELECT 'inserted', last_day FROM totals" 2>&1 || true
}
changed=0
expect() { # what, expected, seen
  echo "$1: $3"
  case $3 in *"$2"*) ;; *) echo "  expected: $2"; changed=1 ;; esac
}
expect 'DATE'                   '1292'     "$(outcome DATE '' '')"
expect 'TIMESTAMP'              '1292'     "$(outcome TIMESTAMP '' '')"
expect 'DATETIME'               'inserted' "$(outcome DATETIME '' '')"
expect 'VARCHAR'                'inserted' "$(outcome 'VARCHAR(20)' '' '')"
expect 'DATE, index by post'    'inserted' "$(outcome DATE ', INDEX (post, day)' '')"
expect 'DATE, SQL_BIG_RESULT'   'inserted' "$(outcome DATE '' SQL_BIG_RESULT)"
expect 'DATE, the SELECT alone' '2026-08-02' "$(sql d -e "DROP TABLE days; CREATE TABLE days (id INT PRIMARY KEY AUTO_INCREMENT, post INT NOT NULL, day DATE NULL);
  INSERT INTO days (post, day) VALUES (1, NULL), (1, '2026-08-02'); SELECT post, MAX(day) FROM days GROUP BY post")"
exit $changed
