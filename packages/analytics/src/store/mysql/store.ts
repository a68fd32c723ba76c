import type { CountingSettings, Store } from '../store.ts'

export function openMysqlStore(_url: string, _settings: CountingSettings): Promise<Store> {
  return Promise.reject(new Error('being written'))
}
