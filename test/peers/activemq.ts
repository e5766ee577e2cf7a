/** Debian's ActiveMQ, with STOMP alone and everything in memory. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { startPeer } from './peer.ts';
import { answersStomp, type Broker } from './stomp.ts';

const HOST = '127.0.0.1';
const HOME = '/usr/share/activemq';
const LOGGING = `log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c: %m%n
`;

/**
 * Starts an empty broker, in about 4 s. It accepts any user and password, and loses its messages when it is stopped.
 */
export async function startActivemq(): Promise<Broker> {
  const peer = await startPeer('activemq', async (folder) => {
    const port = await freePort();
    const configuration = join(folder, 'activemq.xml');
    await writeFile(configuration, brokerConfiguration(port));
    await writeFile(join(folder, 'log4j.properties'), LOGGING);
    const properties = {
      'activemq.home': HOME,
      'activemq.base': folder,
      'activemq.data': folder,
      'activemq.conf': folder,
      'java.io.tmpdir': folder,
      'log4j.configuration': `file:${folder}/log4j.properties`,
    };
    const args = [
      // Faster to start, as it runs only briefly.
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:-UsePerfData',
      ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
      '-jar',
      `${HOME}/bin/activemq.jar`,
      'start',
      `xbean:file:${configuration}`,
    ];
    return { command: 'java', args, port, answers: () => answersStomp(HOST, port) };
  });
  const { port } = peer.program;
  return Object.assign(peer, { host: HOST, port, url: `stomp://guest:guest@${HOST}:${port}` });
}

function brokerConfiguration(port: number): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="regindexer" persistent="false" useJmx="false">
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://${HOST}:${port}"/>
    </transportConnectors>
  </broker>
</beans>
`;
}
