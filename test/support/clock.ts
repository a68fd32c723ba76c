/** Loaded before the service (`--import`): its clock is wrong by CLOCK_AHEAD_SECONDS. */

const ahead = Number(process.env['CLOCK_AHEAD_SECONDS'])
const now = Date.now
Date.now = () => now() + ahead * 1_000
