// A Go library for C programs: its runtime has threads, and none of them survives a fork.
package main

import "C"
import "time"

//export Work
func Work(count C.int) C.int {
	done := make(chan int)
	for i := 0; i < int(count); i++ {
		go func() {
			time.Sleep(time.Millisecond)
			done <- 1
		}()
	}
	sum := 0
	for i := 0; i < int(count); i++ {
		sum += <-done
	}
	return C.int(sum)
}

func main() {}
