#!/bin/sh
# Makes database and user where the volume is empty, and becomes the server: as process 1, which gets the signals.
set -eu
case "${1:-}" in -*) set -- mariadbd "$@" ;; esac
if [ ! -d /var/lib/mysql/mysql ]; then
  mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
  # Run by the server before it listens. Root has a password that nobody knows.
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
