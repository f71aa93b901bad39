// Deploys config.toml as the CDK app does: calls its function as CloudFormation would, and fails unless the function answers with a
// success. FOLDER is infra/lib/service/functions with the packages of infra/ beside it.
//
//     node deployed.mjs FOLDER BUCKET FILE
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

const [folder, Bucket, file] = process.argv.slice(2)
const { handler } = await import(`${folder}/settings.mjs`)
const Content = readFileSync(file, 'utf8')

let answer
const cloudFormation = createServer(async (request, response) => {
  answer = JSON.parse(await text(request))
  response.end()
}).listen(0, '127.0.0.1')
await once(cloudFormation, 'listening')
await handler({
  RequestType: 'Update',
  RequestId: 'request',
  StackId: 'stack',
  LogicalResourceId: 'Object',
  ResponseURL: `http://127.0.0.1:${cloudFormation.address().port}/`,
  ResourceProperties: { Bucket, Key: 'config.toml', Content, Sha256: createHash('sha256').update(Content).digest('hex') },
})
cloudFormation.close()
cloudFormation.closeAllConnections()
console.log(answer)
process.exitCode = answer.Status === 'SUCCESS' ? 0 : 1
