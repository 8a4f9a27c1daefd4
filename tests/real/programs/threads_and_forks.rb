# Forks again and again while one thread passes numbers through a Queue under a Mutex and another
# sleeps. Ruby's own locks are in use all the time; each child gets them as they are.
# What it prints does not depend on timing.
require 'thread'

CHILDREN = 12

mutex = Mutex.new
queue = Queue.new
turns = 0
busy = Queue.new

sleeper = Thread.new { sleep }
looper = Thread.new do
  loop do
    mutex.synchronize { turns += 1 }
    queue << turns
    queue.pop
    busy << :turned if turns == 100
    Thread.pass
  end
end
busy.pop # forks are to happen while it loops

# Work of a child: locks, a queue and threads of its own, memory to collect.
def work(number)
  own = Queue.new
  lock = Mutex.new
  sum = 0
  adders = Array.new(3) do
    Thread.new do
      while (value = own.pop)
        lock.synchronize { sum += value }
      end
    end
  end
  (1..number * 100).each { |value| own << value }
  adders.each { own << nil }
  adders.each(&:join)
  strings = Array.new(2_000) { |i| i.to_s * 3 }
  GC.start
  [sum, strings.last]
end

pids = []
(1..CHILDREN).each do |number|
  reader, writer = IO.pipe
  pid = fork do
    reader.close
    writer.puts "child #{number}: #{work(number).inspect}, #{Thread.list.size} thread"
    writer.close
    exit number
  end
  pids << pid
  writer.close
  puts reader.read
  reader.close
  next if number % 3 != 0 # up to three are there at once
  puts pids.map { |child| Process.wait2(child).last.exitstatus }.inspect
  pids.clear
end

puts `echo a program`
puts "system: #{system('exit 3').inspect}, #{$?.exitstatus}"
puts "spawn: #{Process.wait2(Process.spawn('exit 4')).last.exitstatus}"
puts "threads: looper #{looper.alive?}, sleeper #{sleeper.status}, turned #{turns >= 100}"
exit 5
