/** Which tests run on a stack. */

/** Upgrades from an old broker to the newest, and starts both itself. */
export const UPGRADE = ['test/upgrade/*.test.ts']
/** Check that the documents name the versions that the stack has. */
export const VERSIONS = ['test/stacks/versions.test.ts']
/** Tests whose answers depend on the server and its version. */
export const ASKS_SERVER = [
  ...VERSIONS,
  'tools/stack/{mysql,rabbitmq}.test.ts',
  'test/mysql/contract.test.ts',
  'test/{store-schema,store-broken,mysql*,adoption*,agreement-migration}.test.ts',
  'test/{delivery-limits,message-sizes,rabbitmq-metrics,queues-left-alone}.test.ts',
  'test/long/faults-broker.test.ts',
  'test/long/faults-queues.test.ts',
]
export const NEEDS_SERVER = [
  ...ASKS_SERVER,
  'test/{prune,retention,cli-missing,own-hosts}.test.ts',
  'test/long/{recount,reopening,together}.test.ts',
  'test/long/faults-{backlog,clocks,consumers,dead-bytes,ending,input,killed,messages,store}.test.ts',
  'test/long/{adoption-killed,faults-network,faults-releases,faults-restarted}.test.ts',
  'test/mysql/system.test.ts',
  'test/{cli-dead,cli-service,publishers,laravel,laravel-load,system,life}.test.ts',
  'test/tracker*.test.ts',
  'test/{relay,long/faults-relay-full}.test.ts',
]
