/** The topics that a source takes, and the hosts of SNS that follow from them. */
import { SallyportError } from '@sallyport/core/errors'

/** The domain of each partition, as AWS's own libraries have them. */
const DOMAINS: Readonly<Record<string, string>> = {
  aws: 'amazonaws.com',
  'aws-cn': 'amazonaws.com.cn',
  'aws-us-gov': 'amazonaws.com',
  'aws-eusc': 'amazonaws.eu',
  'aws-iso': 'c2s.ic.gov',
  'aws-iso-b': 'sc2s.sgov.gov',
  'aws-iso-e': 'cloud.adc-e.uk',
  'aws-iso-f': 'csp.hci.ic.gov',
}
const ARN = /^arn:(aws[a-z-]*):sns:([a-z]{2,5}(?:-[a-z]+)+-\d{1,2}):\d{1,12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?$/

export interface Topics {
  /** Whether a topic is on the list. */
  has(topicArn: string): boolean
  /** Whether SNS speaks for a topic from this host: the one of its region, for a foreign topic that of any of ours. */
  isHost(topicArn: string, host: string): boolean
}

/** The topics of a source; throws `SP_SETTINGS` for a text that is no topic's ARN. */
export function compileTopics(source: string, topicArns: readonly string[]): Topics {
  const hosts = new Map(topicArns.map(topicArn => [topicArn, hostOf(source, topicArn)]))
  const all = new Set(hosts.values())
  return {
    has: topicArn => hosts.has(topicArn),
    isHost(topicArn, host) {
      const own = hosts.get(topicArn)
      return own === undefined ? all.has(host) : own === host
    },
  }
}

function hostOf(source: string, topicArn: string): string {
  const [, partition, region] = ARN.exec(topicArn) ?? []
  const domain = partition === undefined ? undefined : DOMAINS[partition]
  if (domain === undefined) {
    throw new SallyportError(
      'SP_SETTINGS',
      `sources.${source}.topicArns holds ${JSON.stringify(topicArn)}, which is no topic's ARN: write arn:aws:sns:REGION:ACCOUNT:NAME`,
    )
  }
  return `sns.${region}.${domain}`
}
