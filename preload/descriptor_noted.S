# Functions of libc whose first argument is a descriptor that they use: a test of one byte, which is
# zero without check=descriptors, and a jump, whatever the other arguments are. Else
# forkscope_descriptor_noted() hears of the call first. As in unsafe_noted.S, the jump goes to a
# look-up until the next definition is known.
        .macro  forkscope_descriptor name
        .text
        .globl  \name
        .type   \name, @function
        .p2align 5
\name:
        .cfi_startproc
        endbr64
        cmpb    $0, forkscope_descriptors_watched(%rip)
        jne     .Ltold_\name
        jmp     *.Lnext_\name(%rip)
.Ltold_\name:
        movl    $index, %r11d
        jmp     forkscope_descriptor_told
.Lfirst_\name:
        movl    $index, %r11d
        jmp     forkscope_descriptor_first
        .cfi_endproc
        .size   \name, .-\name
        .data
.Lnext_\name:
        .quad   .Lfirst_\name
        .set    index, index + 1
        .endm

# Keeps the integer arguments; there are no others, and none of the functions is variadic. r11 is the
# function's number. Calls \function(number, descriptor, return address) and jumps to the next
# definition.
        .macro  forkscope_tell label, function
        .text
        .type   \label, @function
\label:
        .cfi_startproc
        .irp    register, rax, rdi, rsi, rdx, rcx, r8, r9, r11
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .endr
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movl    %edi, %esi
        movl    %r11d, %edi
        movq    72(%rsp), %rdx
        call    \function
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        .irp    register, r11, r9, r8, rcx, rdx, rsi, rdi, rax
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .endr
        leaq    forkscope_descriptor_next(%rip), %r10
        jmp     *(%r10, %r11, 8)
        .cfi_endproc
        .size   \label, .-\label
        .endm

        forkscope_tell forkscope_descriptor_told, forkscope_descriptor_noted
        forkscope_tell forkscope_descriptor_first, forkscope_descriptor_look_up

        .data
        .p2align 3
        .globl  forkscope_descriptor_next
        .hidden forkscope_descriptor_next
        .type   forkscope_descriptor_next, @object
forkscope_descriptor_next:
        .quad   0               # DescriptorCall::none
        .set    index, 1

#define FORKSCOPE_DESCRIPTOR_CALL(name, use) forkscope_descriptor name
#include "detector/record/descriptor_calls.def"
        .data
        .size   forkscope_descriptor_next, .-forkscope_descriptor_next
        .section .note.GNU-stack, "", @progbits
