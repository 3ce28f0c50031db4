%% The oracle: runs histories on the supervisor of Erlang/OTP, and writes down what it does.
%%
%% Rule: nothing here decides what a supervisor does. Scripts say which starts fail, steps say who ends and what is
%% edited; the rest is stdlib's `supervisor`, in real time.
%%
%% `history.rs` says what the terms of a history mean; `oracle.rs` reads the report. `oracle_tree.erl` has the supervisors
%% and workers.
-module(oracle).
-export([main/0]).
-import(oracle_tree, [plant/3, tell/2, exits/1, watch/2, how_it_ended/1, start_supervisor/2]).
-import(oracle_tree, [is_allowed/4, state/3, set_state/4, renew/2, change/3, change_list/3]).

%% A history that has not ended this many milliseconds after its last step hangs.
-define(PATIENCE, 30000).
%% When in a second its steps begin and when they must be over, in milliseconds: `supervisor` counts whole seconds.
-define(BEGIN, 150).
-define(SPREAD, 350).

%% Each line of the standard input says how many histories are to begin in a second and names a file of histories; the
%% report is put beside it. The end of the input, which
%% comes when whoever started us is gone, ends the whole VM.
main() ->
    ok = logger:add_handler(oracle, oracle_tree, #{}),
    ok = logger:remove_handler(default),
    Options = [named_table, public, {write_concurrency, true}, {read_concurrency, true}],
    ets:new(facts, [set | Options]),
    ets:new(trace, [ordered_set | Options]),
    Self = self(),
    spawn_link(fun() -> listen(Self) end),
    serve().

listen(Server) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Rate, File] = string:lexemes(string:trim(Line), " "),
            Server ! {histories, list_to_integer(Rate), File},
            listen(Server);
        _ ->
            halt(0, [{flush, false}])
    end.

serve() ->
    receive
        {histories, Rate, File} ->
            {ok, Histories} = file:consult(File),
            ok = file:write_file(File ++ ".report", run(Rate, Histories)),
            io:put_chars("done\n"),
            serve()
    end.

run(Rate, Histories) ->
    ets:delete_all_objects(facts),
    ets:delete_all_objects(trace),
    Base = erlang:monotonic_time(second) + 2,
    Numbered = lists:zip(lists:seq(0, length(Histories) - 1), Histories),
    Runners = [spawn_runner(Base + Number div Rate, ?BEGIN + Number rem Rate * ?SPREAD div Rate, History)
               || {Number, History} <- Numbered],
    [collect(Runner) || Runner <- Runners].

spawn_runner(Base, Phase, {history, Id, _, _, Steps} = History) ->
    {Pid, Monitor} = spawn_monitor(fun() -> run_history(Base, Phase, History) end),
    Last = lists:max([0 | [Second || {Second, _} <- Steps]]),
    {Id, Pid, Monitor, Base + Last}.

%% A runner that hangs is killed, and its supervisors with it, because it is the parent of the root.
collect({Id, Pid, Monitor, Last}) ->
    Deadline = (Last + 1) * 1000 + ?PATIENCE,
    Left = max(0, Deadline - erlang:monotonic_time(millisecond)),
    End =
        receive
            {'DOWN', Monitor, process, Pid, {ended, How}} -> atom_to_list(How);
            {'DOWN', Monitor, process, Pid, Reason} -> io_lib:format("broken ~0p", [Reason])
        after Left ->
            exit(Pid, kill),
            receive {'DOWN', Monitor, process, Pid, _} -> "hung" end
        end,
    ["history ", integer_to_list(Id), $\n, report(Id), "end ", End, $\n].

report(Id) ->
    Events = ets:select(trace, [{{{Id, '_'}, '$1'}, [], ['$1']}]),
    [[lists:join($\s, [atom_to_list(Word) || Word <- tuple_to_list(Event)]), $\n] || Event <- Events].

%% ---- One history -----------------------------------------------------------------------------------------------------

run_history(Base, Phase, {history, Id, Tree, Scripts, Steps}) ->
    process_flag(trap_exit, true),
    plant(Id, Tree, Scripts),
    await(Base, Phase),
    tell(Id, {step}),
    case start_supervisor(Id, root) of
        {ok, Root} ->
            watch(Id, quiesce(Id, Root, [])),
            check(Base),
            run_steps(Id, Root, Base, Phase, Steps);
        {error, _} ->
            tell(Id, {failed, root}),
            check(Base),
            ended(ok)
    end.

run_steps(Id, Root, Base, Phase, [{Second, Action} | Steps]) ->
    await(Base + Second, Phase),
    Before = walk(Id, Root, []),
    tell(Id, {step}),
    case act(Id, Action, Before) of
        skipped -> tell(Id, {skipped});
        ok -> ok
    end,
    After = quiesce(Id, Root, []),
    watch(Id, After),
    check(Base + Second),
    After =:= gone andalso ended(ok),
    run_steps(Id, Root, Base, Phase, Steps);
run_steps(Id, Root, _Base, _Phase, []) ->
    tell(Id, {over}),
    unlink(Root),
    Monitor = monitor(process, Root),
    exit(Root, kill),
    receive {'DOWN', Monitor, process, Root, _} -> ended(ok) end.

ended(How) -> exit({ended, How}).

await(Second, Phase) ->
    timer:sleep(max(0, Second * 1000 + Phase - erlang:monotonic_time(millisecond))).

%% What a busy machine spread over two seconds says nothing about windows.
check(Second) ->
    erlang:monotonic_time(second) =:= Second orelse ended(overrun).

%% ---- Steps -----------------------------------------------------------------------------------------------------------

%% Several deaths of one instant: their supervisors are suspended, so that they find the deaths together, in start order;
%% then they go on one after the other, the upper first.
act(Id, {exit, Deaths}, Walk) ->
    case [{Pid, Parent, Reason} || {Name, worker, Pid, Parent} <- Walk, {N, Reason} <- Deaths, N =:= Name] of
        [] ->
            skipped;
        [{Pid, _, Reason}] ->
            die(Pid, Reason);
        Several ->
            Supervisors = [Pid || {_, supervisor, Pid, _} <- Walk, lists:keymember(Pid, 2, Several)],
            [ok = sys:suspend(Supervisor, infinity) || Supervisor <- Supervisors],
            [begin die(Pid, Reason), await_exits(Parent, Several) end || {Pid, Parent, Reason} <- Several],
            note_ends(Id, [Pid || {Pid, _, _} <- Several], Walk),
            {_, _, Root, _} = hd(Walk),
            resume(Id, Root, Supervisors)
    end;
% `enabled: false` is what removes a child by hand in OTP: it is stopped, deleted, and not in the list any more.
act(Id, {stop, Parent, Name}, Walk) ->
    case state(Id, Parent, Name) of
        State when State =:= enabled; State =:= ended ->
            edit(Parent, Walk, fun(Supervisor) ->
                State =:= enabled andalso take_out(Supervisor, Name),
                set_state(Id, Parent, Name, disabled)
            end);
        _ ->
            skipped
    end;
% `enabled: true` puts it into the list again, and starts it as new: what had ended below it runs again.
act(Id, {start, Parent, Name}, Walk) ->
    case state(Id, Parent, Name) of
        disabled ->
            start_by_hand(Id, Parent, Name, Walk, fun() ->
                set_state(Id, Parent, Name, enabled),
                renew(Id, Name)
            end);
        _ ->
            skipped
    end;
% A child added: the supervisor is updated, then the child started.
act(Id, {add, Parent, {Name, _, Restart, Significant, _} = Child, Tree, Scripts}, Walk) ->
    case is_allowed(Id, Parent, Restart, Significant) of
        true ->
            start_by_hand(Id, Parent, Name, Walk, fun() ->
                plant(Id, Tree, Scripts),
                change_list(Id, Parent, fun(Children) -> Children ++ [Child] end)
            end);
        false ->
            skipped
    end;
% A child removed: stopped, deleted, then the supervisor updated.
act(Id, {remove, Parent, Name}, Walk) ->
    edit(Parent, Walk, fun(Supervisor) ->
        state(Id, Parent, Name) =:= enabled andalso take_out(Supervisor, Name),
        change_list(Id, Parent, fun(Children) -> lists:keydelete(Name, 1, Children) end)
    end);
% Everything else is an update of the supervisor.
act(Id, {flags, Parent, Flags}, Walk) ->
    edit(Parent, Walk, fun(_) ->
        ets:update_element(facts, {Id, spec, Parent}, {2, Flags}),
        % OTP refuses significant children where nothing shuts down by itself.
        element(4, Flags) =:= never andalso
            change(Id, Parent, fun({Name, Kind, Restart, _, State}) -> {Name, Kind, Restart, false, State} end)
    end);
act(Id, {child, Parent, Name, Restart, Significant}, Walk) ->
    case lists:keymember(Name, 1, Walk) andalso is_allowed(Id, Parent, Restart, Significant) of
        true ->
            edit(Parent, Walk, fun(_) ->
                change(Id, Parent, fun
                    ({N, Kind, _, _, State}) when N =:= Name -> {N, Kind, Restart, Significant, State};
                    (Other) -> Other
                end)
            end);
        false ->
            skipped
    end;
act(Id, {order, Parent, Names}, Walk) ->
    edit(Parent, Walk, fun(_) ->
        change_list(Id, Parent, fun(Children) ->
            Named = [Child || Name <- Names, Child <- Children, element(1, Child) =:= Name],
            Named ++ (Children -- Named)
        end)
    end).

die(Pid, Reason) ->
    Monitor = monitor(process, Pid),
    Pid ! {die, Reason},
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

%% Difference 11 (deaths seen together) and difference 6 (temporary means never again): a Temporary child that ended before
%% any other is judged before it, so it never runs again, even if another's death stops its supervisor. OTP's order between supervisors is chance; here the upper ones come first.
note_ends(Id, [First | Others], Walk) ->
    [note_end(Id, Pid, Walk, fun oracle_tree:end_temporary/3) || Pid <- [First], other_parent(Pid, Others, Walk)],
    [note_end(Id, Pid, Walk, fun oracle_tree:exclude_temporary/3)
     || Pid <- Others, other_parent(Pid, lists:nthtail(1, lists:dropwhile(fun(P) -> P =/= Pid end, Others)), Walk)].

note_end(Id, Pid, Walk, Note) ->
    {Name, _, _, Parent} = lists:keyfind(Pid, 3, Walk),
    {Above, _, _, _} = lists:keyfind(Parent, 3, Walk),
    Note(Id, Above, Name).

other_parent(Pid, Others, Walk) ->
    Parent = fun(P) -> element(4, lists:keyfind(P, 3, Walk)) end,
    lists:any(fun(Other) -> Parent(Other) =/= Parent(Pid) end, Others).

%% The supervisor is told of an end a little later than we are.
await_exits(Supervisor, Several) ->
    Dead = length([Pid || {Pid, Parent, _} <- Several, Parent =:= Supervisor, not is_process_alive(Pid)]),
    case process_info(Supervisor, message_queue_len) of
        {message_queue_len, Dead} -> ok;
        _ -> erlang:yield(), await_exits(Supervisor, Several)
    end.

resume(_Id, _Root, []) ->
    ok;
resume(Id, Root, [Supervisor | Lower]) ->
    Before = exits(Id),
    catch sys:resume(Supervisor, infinity),
    quiesce(Id, Root, Lower),
    % Those that the upper ones have stopped meanwhile are not asked any more. That is chance where it took a give-up.
    Left = [Pid || Pid <- Lower, is_process_alive(Pid)],
    (Left =/= [] orelse (Lower =/= [] andalso exits(Id) > Before)) andalso tell(Id, {several}),
    resume(Id, Root, Left).

%% Changes what `init/1` will say of a supervisor that runs, and has it asked.
edit(Parent, Walk, Change) ->
    case lists:keyfind(Parent, 1, Walk) of
        {_, supervisor, Supervisor, _} ->
            Change(Supervisor),
            update(Supervisor),
            ok;
        false ->
            skipped
    end.

update(Supervisor) ->
    ok = sys:suspend(Supervisor, infinity),
    ok = sys:change_code(Supervisor, supervisor, undefined, [], infinity),
    ok = sys:resume(Supervisor, infinity).

take_out(Supervisor, Name) ->
    _ = supervisor:terminate_child(Supervisor, Name),
    % A temporary child is deleted when it is stopped.
    _ = supervisor:delete_child(Supervisor, Name),
    true.

%% Difference 1 (edits converge): a start that an edit asks for is tried until it succeeds; OTP tries once. It succeeds here.
start_by_hand(Id, Parent, Name, Walk, Change) ->
    edit(Parent, Walk, fun(Supervisor) ->
        Change(),
        update(Supervisor),
        ets:insert(facts, {{Id, assured}}),
        {ok, _} = supervisor:restart_child(Supervisor, Name),
        ets:delete(facts, {Id, assured})
    end).

%% ---- Rest ------------------------------------------------------------------------------------------------------------

%% Waits until nobody is about to do anything. Those of `Suspended` that live are left alone.
quiesce(Id, Root, Suspended) ->
    case is_process_alive(Root) of
        false ->
            receive {'EXIT', Root, _} -> tell(Id, {exited, root, how_it_ended(Root)}) after 0 -> ok end,
            gone;
        true ->
            case walk(Id, Root, Suspended) of
                restless ->
                    timer:sleep(1),
                    quiesce(Id, Root, Suspended);
                Walk ->
                    Walk
            end
    end.

%% All that is up, in start order: `{Name, Kind, Pid, Supervisor}`. A supervisor answers after it has handled what came
%% before; so it is at rest when it has, all it names lives, and nothing is to be tried again.
walk(_Id, Root, Suspended) ->
    try walk_one({root, Root, supervisor, []}, undefined, Suspended)
    catch throw:restless -> restless
    end.

walk_one({_, undefined, _, _}, _Parent, _Suspended) ->
    [];
walk_one({_, restarting, _, _}, _Parent, _Suspended) ->
    throw(restless);
walk_one({Name, Pid, Kind, _}, Parent, Suspended) ->
    is_process_alive(Pid) orelse throw(restless),
    Below =
        case Kind =:= supervisor andalso not lists:member(Pid, Suspended) of
            true ->
                try supervisor:which_children(Pid) of
                    Children -> [walk_one(Child, Pid, Suspended) || Child <- lists:reverse(Children)]
                catch
                    exit:_ -> throw(restless)
                end;
            false ->
                []
        end,
    [{Name, Kind, Pid, Parent} | lists:append(Below)].
