# Functions of libc that are only noted in a forked child, malloc among them: a test of the thread's
# own word and a jump, whatever the arguments are. In a child that lost threads forkscope_noted()
# hears of the call first. Until the next definition has been looked up the jump goes to a look-up,
# as in a procedure linkage table: the loader may call malloc before any constructor runs.
        .macro  forkscope_noted name
        .text
        .globl  \name
        .type   \name, @function
        .p2align 5
\name:
        .cfi_startproc
        endbr64
        movq    _ZN9forkscope6detail9unguardedE@gottpoff(%rip), %r11
        cmpq    $0, %fs:(%r11)
        je      .Lslow_\name
        jmp     *.Lnext_\name(%rip)
.Lslow_\name:
        movl    $index, %r11d
        jmp     forkscope_noted_slowly
.Lfirst_\name:
        movl    $index, %r11d
        jmp     forkscope_noted_first
        .cfi_endproc
        .size   \name, .-\name
        .data
.Lnext_\name:
        .quad   .Lfirst_\name
        .set    index, index + 1
        .endm

        .macro  forkscope_other
        .data
        .quad   0
        .set    index, index + 1
        .endm

# Keeps what may hold arguments, integers and the vector registers of variadic functions; r11 is the
# function's number. Calls \function(number, return address) and jumps to the next definition.
        .macro  forkscope_ask label, function
        .text
        .type   \label, @function
\label:
        .cfi_startproc
        .irp    register, rax, rdi, rsi, rdx, rcx, r8, r9, r11
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .endr
        subq    $136, %rsp
        .cfi_adjust_cfa_offset 136
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7
        movaps  %xmm\number, 16 * \number(%rsp)
        .endr
        movl    %r11d, %edi
        movq    200(%rsp), %rsi
        call    \function
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7
        movaps  16 * \number(%rsp), %xmm\number
        .endr
        addq    $136, %rsp
        .cfi_adjust_cfa_offset -136
        .irp    register, r11, r9, r8, rcx, rdx, rsi, rdi, rax
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .endr
        leaq    forkscope_next(%rip), %r10
        jmp     *(%r10, %r11, 8)
        .cfi_endproc
        .size   \label, .-\label
        .endm

        forkscope_ask forkscope_noted_slowly, forkscope_noted
        forkscope_ask forkscope_noted_first, forkscope_look_up

        .data
        .p2align 3
        .globl  forkscope_next
        .hidden forkscope_next
        .type   forkscope_next, @object
forkscope_next:
        .quad   0               # UnsafeCall::none
        .set    index, 1

#define FORKSCOPE_USE_noted(name) forkscope_noted name
#define FORKSCOPE_USE_takes(name) forkscope_noted name
#define FORKSCOPE_USE_exclusive(name) forkscope_other
#define FORKSCOPE_USE_shared(name) forkscope_other
#define FORKSCOPE_USE_own(name) forkscope_other
#define FORKSCOPE_USE_hooked(name) forkscope_other
#define FORKSCOPE_UNSAFE_CALL(name, family, use, hung) FORKSCOPE_USE_##use(name)
#include "detector/record/unsafe_calls.def"
        .data
        .size   forkscope_next, .-forkscope_next
        .section .note.GNU-stack, "", @progbits
