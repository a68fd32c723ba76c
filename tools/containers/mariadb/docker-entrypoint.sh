#!/bin/sh
# Creates database and user if the volume is empty, and then becomes the server, which is process 1 and gets the signals.
set -eu
case "${1:-}" in -*) set -- mariadbd "$@" ;; esac
if [ ! -d /var/lib/mysql/mysql ]; then
  mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
  # The server runs this before it listens. Nobody knows the password of root.
  cat > /tmp/first.sql <<SQL
CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;
CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO '$MARIADB_USER'@'%';
CREATE USER 'healthcheck'@'localhost';
ALTER USER 'root'@'localhost' IDENTIFIED BY '$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')';
SQL
  set -- "$@" --init-file=/tmp/first.sql
fi
exec "$@"
