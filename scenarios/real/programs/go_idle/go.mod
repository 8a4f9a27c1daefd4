module example.org/idle

go 1.19
