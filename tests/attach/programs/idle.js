// A server without requests; its pool has read a file, its worker thread waits for a message.
const { Worker } = require('worker_threads');
require('fs').readFile(__filename, () => {
  new Worker('require("worker_threads").parentPort.on("message", () => {})', { eval: true })
      .on('online', () => require('net').createServer().listen(0, '127.0.0.1', () => {
        require('fs').writeSync(1, `target ${process.pid}\n`);
      }));
});
