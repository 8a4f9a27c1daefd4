# A forked child of a process with threads; it has threads of its own and waits for a connection.
require "socket"
Thread.new { sleep }
queue = Queue.new
Thread.new { queue.pop }
fork do
  jobs = Queue.new
  2.times { Thread.new { jobs.pop } }
  Mutex.new.synchronize { 1 }
  $stdout.syswrite("target #{Process.pid}\n")
  TCPServer.new("127.0.0.1", 0).accept
end
Process.wait
