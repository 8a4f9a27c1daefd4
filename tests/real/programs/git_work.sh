#!/bin/sh
# Ordinary work with git, hooks, threads (packing, searching, cloning) and background processes
# included. What it prints does not depend on timing.
set -eu

GIT_CONFIG_NOSYSTEM=1
GIT_AUTHOR_NAME=Author GIT_AUTHOR_EMAIL=author@example.org
GIT_COMMITTER_NAME=Committer GIT_COMMITTER_EMAIL=committer@example.org
GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z'
export GIT_CONFIG_NOSYSTEM GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
export GIT_AUTHOR_DATE GIT_COMMITTER_DATE

git init --initial-branch=main repository
cd repository
git config pack.threads 4
git config grep.threads 4
git config protocol.file.allow always

hook() {
  printf '#!/bin/sh\n%s\n' "$2" >".git/hooks/$1"
  chmod +x ".git/hooks/$1"
}
hook pre-commit 'echo "pre-commit: $(git diff --cached --name-only | wc -l) files"
! grep -rn FORBIDDEN --include="*.txt" .'
hook commit-msg 'grep -q "^Change" "$1" || { echo "commit-msg: refused" >&2; exit 1; }'
hook post-commit 'git log -1 --format="post-commit: %s"'

write() { # VERSION
  for number in $(seq 1 60); do
    seq "$number" $((number + $1 * 40)) >"file$number.txt"
  done
}
for version in 1 2 3; do
  write $version
  git add .
  git commit --message "Change to version $version" | grep -v '^ create mode'
done
echo FORBIDDEN >file1.txt
git commit --all --message 'Change for the worse' || echo "refused by pre-commit, status $?"
git checkout -- file1.txt
git commit --allow-empty --message 'Not so named' || echo "refused by commit-msg, status $?"

git checkout -b topic HEAD~1
echo topic >topic.txt
git add topic.txt
git commit --message 'Change on a branch'
git rebase main
git checkout main
git merge --no-ff --message 'Change by a merge' topic
git stash list
git tag --annotate --message 'a tag' v1

git repack -adf
git gc --prune=now --aggressive
git fsck --full --strict
git grep --count '^9$' -- '*.txt' | head -5
git log --graph --shortstat --format='%h %an %s' | head -12
git archive --format=tar HEAD | tar -tf - | wc -l

git clone --no-local "file://$PWD" ../clone
cd ../clone
git rev-list --objects --all | sort
echo more >more.txt
git add more.txt
git commit --message 'Change in the clone' --author 'Somebody Else <else@example.org>'
git push origin HEAD:refs/heads/from-clone
cd ../repository
git fetch ../clone main
git merge --ff-only FETCH_HEAD
git log -3 --format=%H
exit 9
