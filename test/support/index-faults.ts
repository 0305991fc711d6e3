/**
 * Loaded before the product: dies at a chosen step of the index's writing, see faults.ts.
 *
 * write before → (rows → position before → position after)* → commit before → commit after → write after
 */
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { IndexWriter } from '@sallyport/console/index/writer'
import { pass } from './faults.ts'

let writing = false

const { write } = IndexWriter.prototype
IndexWriter.prototype.write = function (batches) {
  pass('write', 'before')
  writing = true
  write.call(this, batches)
  writing = false
  pass('write', 'after')
}

const { exec } = DatabaseSync.prototype
DatabaseSync.prototype.exec = function (sql) {
  const isCommit = writing && sql === 'COMMIT'
  if (isCommit) pass('commit', 'before')
  exec.call(this, sql)
  if (isCommit) pass('commit', 'after')
}

const { run } = StatementSync.prototype
StatementSync.prototype.run = function (...values: unknown[]) {
  const isPosition = writing && this.sourceSQL.includes('positions')
  if (isPosition) pass('position', 'before')
  const result = run.apply(this, values as Parameters<typeof run>)
  if (isPosition) pass('position', 'after')
  return result
}
