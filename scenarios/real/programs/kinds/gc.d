/// D's collector, while another thread is inside it: `gc bypass|handler|free`. That thread stays in a
/// destructor, which the collector calls with its lock taken. With `handler` the one that forks waits
/// for that lock in the runtime's at-fork handler, healthy; _Fork() knows no handlers.
import core.memory, core.sys.posix.unistd, core.sys.posix.sys.wait, core.thread, core.stdc.stdio;
import core.sys.posix.poll;

extern (C) int _Fork();

__gshared int[2] ends;
__gshared bool stays;

class Row
{
    ubyte[64] data;
    ~this()
    {
        if (!stays) return;
        stays = false;
        write(ends[1], "i".ptr, 1);
        poll(null, 0, -1);
    }
}

void fill()
{
    foreach (i; 0 .. 1000) new Row;
}

void collect()
{
    fill();
    GC.collect();
}

int main(string[] words)
{
    pipe(ends);
    if (words[1] != "free")
    {
        stays = true;
        auto thread = new Thread(&collect);
        thread.name = "collector";
        thread.start();
        char[1] b;
        read(ends[0], b.ptr, 1);
    }
    if (words[1] == "handler")
    {
        printf("target %d\n", getpid());
        fflush(stdout);
    }
    const pid = words[1] == "bypass" ? _Fork() : fork();
    if (pid == 0)
    {
        printf("target %d\n", getpid());
        fflush(stdout);
        fill();
        printf("done\n");
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    _exit(0);
    return 0;
}
