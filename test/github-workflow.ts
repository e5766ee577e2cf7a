/** Checks workflows for GitHub with its own parser. */
import { registerHooks } from 'node:module';

/** What GitHub would refuse in a workflow; empty if it is right. */
export async function workflowFaults(content: string): Promise<readonly string[]> {
  const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } = await loadParser();
  const { context, value } = parseWorkflow({ name: 'workflow.yml', content }, new NoOperationTraceWriter());
  if (value !== undefined) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map(({ message }) => message);
}

/** Loads the parser, which is made for bundlers: it imports JSON without saying that it is JSON. */
async function loadParser() {
  const hooks = registerHooks({
    load: (url, context, nextLoad) =>
      nextLoad(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context),
  });
  try {
    return await import('@actions/workflow-parser');
  } finally {
    hooks.deregister();
  }
}
