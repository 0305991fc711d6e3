/** Where every contestant writes its outputs. */
export const OUTPUT = 'sallyport.agent-events'
