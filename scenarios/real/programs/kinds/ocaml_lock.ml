(* A Mutex of OCaml that another thread has: ocaml_lock held|free. *)
let cache_mutex = Mutex.create ()

let () =
  let never, _ = Unix.pipe () and told, tell = Unix.pipe () in
  let stay () = ignore (Unix.select [ never ] [] [] (-1.)) in
  let hold () =
    if Sys.argv.(1) = "held" then Mutex.lock cache_mutex;
    ignore (Unix.write_substring tell "i" 0 1);
    stay ()
  in
  ignore (Thread.create hold ());
  ignore (Unix.read told (Bytes.create 1) 0 1);
  match Unix.fork () with
  | 0 ->
      Printf.printf "target %d\n%!" (Unix.getpid ());
      Mutex.lock cache_mutex;
      Printf.printf "done\n%!";
      Unix._exit 0
  | pid -> ignore (Unix.waitpid [] pid)
