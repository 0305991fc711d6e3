import { contextOf, endFailed, type Span, type SpanKind, startChild } from '@sallyport/core/trace'

/** Runs a stage in a span under `parent`; where `parent` records nothing, only the stage, at once if it can. */
export function spanned<T>(
  parent: Span,
  name: string,
  kind: SpanKind,
  stage: () => T | Promise<T>,
): T | Promise<T> {
  return parent.isRecording() ? inSpan(startChild(name, kind, contextOf(parent)), stage) : stage()
}

async function inSpan<T>(span: Span, stage: () => T | Promise<T>): Promise<T> {
  try {
    const result = await stage()
    span.end()
    return result
  } catch (error) {
    endFailed(span, error)
    throw error
  }
}
