// A Go program as they are when nothing happens: goroutines that wait for a channel, for input and
// for time, some with a thread of their own, main for all of them.
package main

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

func main() {
	input, _, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	var all sync.WaitGroup
	all.Add(3)
	go func() { input.Read(make([]byte, 1)); all.Done() }()
	go func() { <-make(chan int); all.Done() }()
	go func() { time.Sleep(time.Hour); all.Done() }()
	for i := 0; i < 3; i++ {
		go func() { runtime.LockOSThread(); time.Sleep(time.Hour) }()
	}
	os.Stdout.WriteString("target " + strconv.Itoa(os.Getpid()) + "\n")
	all.Wait()
}
