# Ruby with threads forks: ruby_threads.rb WHAT. A thread of the parent has a Mutex, or feeds a Queue;
# the child takes the Mutex, or asks the Queue. The child prints "target PID" first and "done" at the
# end. Ruby itself gives a forked child's Mutexes free, and knows when nobody is left to wait for.
what = ARGV[0]
mutex, queue, inside = Mutex.new, Queue.new, Queue.new
$stdout.sync = true

Thread.new do
  if what == "mutex"
    mutex.synchronize { inside << true; sleep }
  else
    inside << true
    loop { sleep; queue << 1 }
  end
end
inside.pop
child = fork do
  puts "target #{Process.pid}"
  case what
  when "mutex" then mutex.synchronize { }
  when "queue" then queue.pop
  when "thread" then Thread.new { queue << 1 }; queue.pop
  end
  puts "done"
end
Process.wait(child)
exit($?.exitstatus || 1)
