#!/bin/sh
# The options that the official image supports: --connect, --innodb_initialized.
set -eu
ask() {
  mariadb --no-defaults --user=healthcheck --socket=/run/mysqld/mysqld.sock --skip-column-names --batch --execute "$1"
}
for check in "$@"; do
  case "$check" in
    --connect) ask 'SELECT 1' ;;
    --innodb_initialized)
      test "$(ask "SELECT COUNT(*) FROM information_schema.ENGINES WHERE ENGINE = 'InnoDB' AND SUPPORT IN ('YES', 'DEFAULT')")" = 1 ;;
    *) echo "healthcheck.sh: $check" >&2; exit 2 ;;
  esac
done
