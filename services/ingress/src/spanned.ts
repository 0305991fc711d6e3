import { contextOf, endFailed, type Span, type SpanKind, startChild } from '@sallyport/core/trace'

/** Runs a stage in a span under `parent`; where `parent` records nothing, only the stage. */
export async function spanned<T>(
  parent: Span,
  name: string,
  kind: SpanKind,
  stage: () => T | Promise<T>,
): Promise<T> {
  if (!parent.isRecording()) return await stage()
  const span = startChild(name, kind, contextOf(parent))
  try {
    const result = await stage()
    span.end()
    return result
  } catch (error) {
    endFailed(span, error)
    throw error
  }
}
