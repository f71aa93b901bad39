/**
 * How a function is a custom resource of CloudFormation: it does its work, and puts the outcome to an address at which CloudFormation
 * waits. Without an answer CloudFormation waits until a time-out, so there is one whatever happens.
 */

/**
 * @typedef {object} Event
 * @property {'Create' | 'Update' | 'Delete'} RequestType
 * @property {string} RequestId
 * @property {string} ResponseURL
 * @property {string} StackId
 * @property {string} LogicalResourceId
 * @property {string} [PhysicalResourceId]
 * @property {any} ResourceProperties
 *
 * @typedef {object} Context
 * @property {() => number} getRemainingTimeInMillis
 */

/**
 * @param {(event: Event) => string} identity What the resource is: when it changes, CloudFormation deletes the old one afterwards.
 * @param {(event: Event, context: Context) => Promise<void>} work
 * @returns {(event: Event, context: Context) => Promise<void>}
 */
export function customResource(identity, work) {
  return async (event, context) => {
    const { StackId, RequestId, LogicalResourceId } = event;
    const deleted = event.RequestType === 'Delete';
    const PhysicalResourceId = deleted && event.PhysicalResourceId ? event.PhysicalResourceId : identity(event);
    const outcome = { StackId, RequestId, LogicalResourceId, PhysicalResourceId, Status: 'SUCCESS', Reason: '' };
    try {
      await work(event, context);
    } catch (error) {
      console.error(`${event.RequestType} of ${LogicalResourceId} has failed:`, error);
      // A deletion that fails would leave a stack that cannot be deleted.
      if (!deleted) Object.assign(outcome, { Status: 'FAILED', Reason: reason(error) });
    }
    await put(event.ResponseURL, JSON.stringify(outcome));
  };
}

/**
 * A text that CloudFormation shows: it takes 4 KiB for the whole answer, and cannot show a stack's events with a control character.
 *
 * @param {unknown} error
 */
function reason(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 1000);
}

/**
 * @param {string} url
 * @param {string} body
 */
async function put(url, body, attempts = 3) {
  try {
    // The address is signed for a request without a type of content.
    const answer = await fetch(url, { method: 'PUT', body, headers: { 'content-type': '' }, signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`CloudFormation has not taken the answer: ${answer.status} ${await answer.text()}`);
  } catch (error) {
    if (attempts === 1) throw error;
    console.error(error);
    await put(url, body, attempts - 1);
  }
}
