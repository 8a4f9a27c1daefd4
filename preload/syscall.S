# syscall(): looks at the number, and hands the few that matter to syscall.cpp and futex.cpp by a
# jump, all arguments in place; every other one goes on to the next syscall() likewise. Children that
# share our memory are made here, for the reason vfork.S gives.
#include <sys/syscall.h>

#include "clone_here.inc"

# The six arguments around a call of a C function, and the stack aligned for it.
        .macro  SAVE_ARGUMENTS
        subq    $56, %rsp
        .cfi_adjust_cfa_offset 56
        movq    %rdi, (%rsp)
        movq    %rsi, 8(%rsp)
        movq    %rdx, 16(%rsp)
        movq    %rcx, 24(%rsp)
        movq    %r8, 32(%rsp)
        movq    %r9, 40(%rsp)
        .endm
        .macro  RESTORE_ARGUMENTS
        movq    (%rsp), %rdi
        movq    8(%rsp), %rsi
        movq    16(%rsp), %rdx
        movq    24(%rsp), %rcx
        movq    32(%rsp), %r8
        movq    40(%rsp), %r9
        addq    $56, %rsp
        .cfi_adjust_cfa_offset -56
        .endm

        .text
        .globl  syscall
        .type   syscall, @function
        .p2align 4
syscall:
        .cfi_startproc
        endbr64
        cmpq    $SYS_futex, %rdi
        je      forkscope_syscall_futex
        cmpq    $SYS_getpid, %rdi
        je      4f
        leaq    -SYS_clone(%rdi), %r11          # clone, fork, vfork, execve, exit
        cmpq    $(SYS_exit - SYS_clone), %r11
        jbe     2f
        cmpq    $SYS_clone3, %rdi
        je      .Lroute
        cmpq    $SYS_madvise, %rdi
        je      forkscope_syscall_process
        cmpq    $SYS_exit_group, %rdi
        je      forkscope_syscall_process
        cmpq    $SYS_execveat, %rdi
        je      forkscope_syscall_process
        cmpq    $SYS_prctl, %rdi
        je      forkscope_syscall_sandbox
        cmpq    $SYS_seccomp, %rdi
        je      forkscope_syscall_sandbox
        jmp     *forkscope_real_syscall(%rip)

4:      movabsq $0x666f726b73636f31, %r11       # forkscope/annotate.h asks: FORKSCOPE_HOOKS_QUESTION_1
        cmpq    %r11, %rsi
        je      forkscope_answer_annotations
        jmp     *forkscope_real_syscall(%rip)

2:      cmpq    $SYS_clone, %rdi
        je      .Lroute
        cmpq    $SYS_vfork, %rdi
        jne     forkscope_syscall_process

.Lroute:                                        # clone, vfork, clone3: what of it?
        movq    (%rsp), %r11
        SAVE_ARGUMENTS
        movq    %r11, %rcx
        call    forkscope_route_clone           # (number, first, second argument, caller)
        RESTORE_ARGUMENTS
        movl    %eax, %r11d
        xorl    %eax, %eax                      # no vector arguments, for a next one written in C
        cmpl    $1, %r11d
        jb      .Lforward
        je      forkscope_syscall_process       # a copy: by a function, it has its own stack
        movq    %rdi, %rax                      # the kernel's calling convention
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        cmpl    $3, %r11d
        je      .Lcopy_on_new_stack
        cmpq    $SYS_vfork, %rax
        je      .Lvfork
        cmpq    $SYS_clone3, %rax
        je      .Lclone3
        CLONE_HERE 2
.Lvfork:
        CLONE_HERE 1
.Lclone3:
        CLONE_HERE 3

.Lcopy_on_new_stack:
        syscall
        testq   %rax, %rax
        jz      3f
        movq    %rax, %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    forkscope_copy_made
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        ret
3:      movq    %rsp, %rax                      # the child: whatever alignment its stack has
        andq    $-16, %rsp
        pushq   %rax
        subq    $8, %rsp
        call    forkscope_in_copy
        addq    $8, %rsp
        popq    %rsp
        xorl    %eax, %eax
        ret

.Lforward:
        jmp     *forkscope_real_syscall(%rip)
        .cfi_endproc
        .size   syscall, .-syscall

# What forkscope_real_syscall points to until the next syscall() is known.
        .globl  forkscope_first_syscall
        .hidden forkscope_first_syscall
        .type   forkscope_first_syscall, @function
        .p2align 4
forkscope_first_syscall:
        .cfi_startproc
        SAVE_ARGUMENTS
        call    forkscope_resolve_syscall
        RESTORE_ARGUMENTS
        xorl    %eax, %eax
        jmp     *forkscope_real_syscall(%rip)
        .cfi_endproc
        .size   forkscope_first_syscall, .-forkscope_first_syscall
        .section .note.GNU-stack, "", @progbits
